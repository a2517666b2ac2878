"""A8 over a real broker: a log that lost what was acknowledged, or is another one, is refused with its code."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from ringfence_streams.localkafka.cluster import LocalCluster
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


def alter_journal(setting: str, value: str) -> Damage:
    """Somebody sets the journal's settings in another way."""

    def damage(admin: KafkaAdminClient, topics: Topics) -> None:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.name("journal"), {setting: value})])

    return damage


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "the journal's head is deleted": (delete_head, "records_lost", "Journal"),
    "the journal is created anew": (recreate("journal"), "records_lost", "journal"),
    "a source is created anew": (recreate("ticks"), "source_replaced", "ticks"),
    "a source has another number of partitions": (add_partition, "log_unsuitable", "fills"),
    "the journal is compacted": (alter_journal("cleanup.policy", "compact"), "log_unsuitable", "journal"),
    "the journal expires within a day": (alter_journal("retention.ms", "3600000"), "log_unsuitable", "journal"),
}


QUICK = {"the journal's head is deleted", "a source is created anew"}


def fold_something(topics: Topics) -> None:
    """An engine works for a while and stops orderly."""
    publish(topics, Market("refusals").inputs(300))
    with engine(topics) as owner, Watch(topics) as watch:
        watch.caught_up()
        assert owner.terminate() == 0, owner.said()
    assert topics.ends("snapshots")[0], "a snapshot was taken"


def assert_refused(topics: Topics, code: str, named: str) -> None:
    """The command ends with status 1, the code, and the topic at fault; the journal stays as it is."""
    before = topics.ends("journal")
    with ringfence(topics, "run", "--clock", "events", "--drain") as refused:
        assert refused.wait() == 1, refused.said()
        said = refused.until(lambda line: line.get("code") == code, f"it says {code}")
    assert named in said["message"]
    assert said["remedy"]
    assert topics.ends("journal") == before, "nothing was written"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.whole("the quick ones show the way"))
        for name in DAMAGES
    ],
)
def test_a_log_that_is_not_what_it_was_is_refused_before_anything_is_written(topics: Topics, name: str) -> None:
    """A8: deleted, made anew, or set in another way."""
    damage, code, named = DAMAGES[name]
    fold_something(topics)
    admin = KafkaAdminClient(bootstrap_servers=topics.bootstrap)
    damage(admin, topics)
    admin.close()
    assert_refused(topics, code, named)


@pytest.mark.whole("a broker of its own is started twice")
def test_a_journal_whose_end_was_cut_off_on_the_brokers_disk_is_refused(alone: LocalCluster) -> None:
    """A8: the broker comes back with half of the file and knows no better; the snapshots prove that there was more."""
    topics = Topics(alone.bootstrap, "chaos.")
    topics.create()
    fold_something(topics)
    (whole,) = topics.ends("journal")
    alone.kill(1)
    (segment,) = (alone.node(1).data / "chaos.journal-0").glob("*.log")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size // 2)
    alone.start()
    (left,) = topics.ends("journal")
    assert 0 < left < whole, "acknowledged frames are gone"
    assert_refused(topics, "records_lost", "Journal")
