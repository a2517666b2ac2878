"""Claims about clusters that ask who comes: a password or a certificate under TLS, by a file of settings alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.streams.app.cluster import eventually
from tests.streams.app.workers import Worker
from tests.streams.command import LADDER, objects, ringfence
from tests.streams.kafka.secured import PASSWORD, USER, SecuredBroker, secured_broker

pytestmark = pytest.mark.xdist_group("secured")  # one broker for all claims


class Client(NamedTuple):
    """What a client was told, and where it goes."""

    address: str
    properties: dict[str, str]

    def environment(self, folder: Path, prefix: str) -> dict[str, str]:
        """Of the command."""
        path = folder / "client.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in self.properties.items()))
        return {"RINGFENCE_KAFKA_CONFIG": str(path), "RINGFENCE_LOG": f"kafka://{self.address}?prefix={prefix}"}

    def told(self, changes: Mapping[str, str | None]) -> Client:
        """The same with other settings, or without some."""
        kept = {key: value for key, value in {**self.properties, **changes}.items() if value is not None}
        return self._replace(properties=kept)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """One for all claims of this page."""
    with secured_broker(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


def with_password(broker: SecuredBroker) -> Client:
    """SASL_SSL."""
    properties = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": USER,
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(broker.authority),
    }
    return Client(broker.by_password, properties)


def with_certificate(broker: SecuredBroker) -> Client:
    """Mutual TLS."""
    properties = {
        "security.protocol": "SSL",
        "ssl.ca.location": str(broker.authority),
        "ssl.certificate.location": str(broker.client),
        "ssl.key.location": str(broker.client),
    }
    return Client(broker.by_certificate, properties)


@pytest.mark.parametrize("way", [with_password, with_certificate])
def test_every_command_comes_through_either_client(
    broker: SecuredBroker, tmp_path: Path, prefix: str, way: Callable[[SecuredBroker], Client]
) -> None:
    """The engine's client and the auditor's read the same file: topics, inputs, an engine, and its journal verified."""
    environment = way(broker).environment(tmp_path, prefix)
    ringfence("topics", "create", environment=environment)
    ringfence("publish", stdin=LADDER, environment=environment)
    ringfence("run", "--drain", "--clock", "events", environment=environment)
    (verified,) = objects(ringfence("verify", "--json", environment=environment).stdout)
    assert verified["inputs"] == sum(line.startswith(b"{") for line in LADDER.splitlines())
    ringfence("status", environment=environment)
    checked = ringfence("topics", "check", "--json", environment=environment)
    assert not [finding for finding in objects(checked.stdout) if finding.get("severity") == "error"]


def test_a_whole_node_is_let_in_too(
    broker: SecuredBroker, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust's consumers and producers are another client again: its shards fold, its views answer."""
    environment = with_password(broker).environment(tmp_path, prefix)
    ringfence("topics", "create", environment=environment)
    ringfence("publish", "--timestamps", "events", stdin=LADDER, environment=environment)
    monkeypatch.setenv("RINGFENCE_KAFKA_CONFIG", environment["RINGFENCE_KAFKA_CONFIG"])
    worker = Worker(environment["RINGFENCE_LOG"], tmp_path, {})
    try:
        worker.ready()
        eventually(lambda: worker.get("/accounts/alice").status == 200, "the account's wallet is projected")
        worker.stop()
    finally:
        worker.process.kill()


def refused(client: Client, folder: Path, command: str) -> str:
    """What a command says that is not let in."""
    done = ringfence("--json-logs", command, stdin=LADDER, status=2, environment=client.environment(folder, "none."))
    told = json.loads(done.stderr.splitlines()[-1])
    assert told["code"] == "log_unavailable"
    assert told["remedy"]
    assert PASSWORD not in done.stderr.decode()
    return str(told["message"])


@pytest.mark.parametrize("command", ["run", "verify", "publish"])
def test_a_wrong_password_is_named_as_such(broker: SecuredBroker, tmp_path: Path, command: str) -> None:
    """Status 2, `log_unavailable` and the broker's own words, whichever client meets it; nothing is tried for ever."""
    said = refused(with_password(broker).told({"sasl.password": "wrong"}), tmp_path, command)
    assert "Authentication failed" in said
    assert repr(USER) in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sasl.mechanism": "SCRAM-SHA-256"}, "sasl.mechanism SCRAM-SHA-256"),
        ({"ssl.ca.location": None}, "ssl.ca.location"),
        ({"security.protocol": "PLAINTEXT"}, "security.protocol PLAINTEXT"),
    ],
)
def test_settings_that_do_not_fit_the_listener_are_named(
    broker: SecuredBroker, tmp_path: Path, changes: dict[str, str | None], words: str
) -> None:
    """Another mechanism than it takes, an authority that is not ours, plain text to a listener under TLS."""
    assert words in refused(with_password(broker).told(changes), tmp_path, "run")


def test_a_client_without_a_certificate_is_told_that_one_may_be_wanted(broker: SecuredBroker, tmp_path: Path) -> None:
    """The broker just closes the connection; nor is a broker trusted that another authority signed."""
    client = with_certificate(broker).told({"ssl.certificate.location": None, "ssl.key.location": None})
    assert "certificate of the client" in refused(client, tmp_path, "run")
    strange = with_certificate(broker).told({"ssl.ca.location": str(broker.stranger)})
    assert "not to be trusted" in refused(strange, tmp_path, "verify")
