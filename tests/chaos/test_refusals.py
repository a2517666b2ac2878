"""A8 over a real broker: a log that lost what was acknowledged, or is another one, is refused with its code."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from tests.chaos.cluster import Topics
from tests.chaos.engines import engine, ringfence
from tests.chaos.watching import Watch
from tests.chaos.workload import Market, publish

Damage = Callable[[KafkaAdminClient, Topics], None]


def delete_head(admin: KafkaAdminClient, topics: Topics) -> None:
    """Retention takes the whole journal, its head included."""
    admin.delete_records({TopicPartition(topics.name("journal"), 0): topics.ends("journal")[0]})


def recreate(topic: str) -> Damage:
    """A topic is deleted and made again, with as many records of the same bytes as anybody likes."""

    def damage(admin: KafkaAdminClient, topics: Topics) -> None:
        admin.delete_topics([topics.name(topic)])
        while topics.name(topic) in admin.list_topics():
            pass
        topics.create_one(topic)

    return damage


def add_partition(admin: KafkaAdminClient, topics: Topics) -> None:
    """Somebody adds a partition: keys hash to other shards from here on."""
    admin.create_partitions({topics.name("fills"): 2})


def compact_journal(admin: KafkaAdminClient, topics: Topics) -> None:
    """The journal's cleanup policy is changed."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topics.name("journal"), {"cleanup.policy": "compact"})
    admin.alter_configs([resource])


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "the journal's head is deleted": (delete_head, "records_lost", "Journal"),
    "the journal is created anew": (recreate("journal"), "records_lost", "journal"),
    "a source is created anew": (recreate("ticks"), "source_replaced", "ticks"),
    "a source has another number of partitions": (add_partition, "log_unsuitable", "fills"),
    "the journal is compacted": (compact_journal, "log_unsuitable", "journal"),
}


QUICK = {"the journal's head is deleted", "a source is created anew"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.whole("the quick ones show the way"))
        for name in DAMAGES
    ],
)
def test_a_log_that_is_not_what_it_was_is_refused_before_anything_is_written(topics: Topics, name: str) -> None:
    """The command ends with status 1, the code, and the topic at fault; the journal stays as it is."""
    damage, code, named = DAMAGES[name]
    publish(topics, Market("refusals").inputs(300))
    with engine(topics) as owner, Watch(topics) as watch:
        watch.caught_up()
        assert owner.terminate() == 0, owner.said()
    assert topics.ends("snapshots")[0], "a snapshot was taken"
    admin = KafkaAdminClient(bootstrap_servers=topics.bootstrap)
    damage(admin, topics)
    admin.close()
    before = topics.ends("journal")
    with ringfence(topics, "run", "--clock", "events", "--drain") as refused:
        assert refused.wait() == 1, refused.said()
        said = refused.until(lambda line: line.get("code") == code, f"it says {code}")
    assert named in said["message"]
    assert said["remedy"]
    assert topics.ends("journal") == before, "nothing was written"
