"""Claims about addresses, names and the configuration file of a connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringfence_streams.errors import LogAddressRefused
from ringfence_streams.kafka.connection import connection_of


def written(folder: Path, text: str) -> dict[str, str]:
    """An environment that names a configuration file with this text."""
    path = folder / "client.properties"
    path.write_text(text)
    return {"RINGFENCE_KAFKA_CONFIG": str(path)}


def test_the_prefix_of_the_address_goes_before_that_of_the_environment() -> None:
    """Without either it is `ringfence.`; an empty one is one too."""
    environment = {"RINGFENCE_KAFKA_PREFIX": "risk."}
    assert connection_of("kafka://a:1,b:2", {}).prefix == "ringfence."
    assert connection_of("kafka://a:1,b:2", environment).physical("fills") == "risk.fills"
    assert connection_of("kafka://a:1?prefix=", environment).physical("fills") == "fills"
    assert connection_of("kafka://a:1,b:2", {}).bootstrap == "a:1,b:2"


def test_a_topic_of_somebody_else_is_ours_by_its_line_in_the_configuration(tmp_path: Path) -> None:
    """`topic.fills=executions` renames one topic; with the prefix it is then nobody's."""
    connection = connection_of("kafka://a:1", written(tmp_path, "# theirs\ntopic.fills = executions\n\n"))
    assert (connection.physical("fills"), connection.physical("ticks")) == ("executions", "ringfence.ticks")
    assert [connection.logical(name) for name in ("executions", "ringfence.ticks", "ringfence.fills", "other")] == [
        "fills",
        "ticks",
        None,
        None,
    ]


def test_credentials_reach_both_clients_and_no_message(tmp_path: Path) -> None:
    """The keys are those of librdkafka; a password is not shown when the connection is."""
    text = (
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=engine\nsasl.password=s3cret=x\n"
    )
    connection = connection_of("kafka://a:1,b:2", written(tmp_path, text))
    engine, tools = connection.for_aiokafka(), connection.for_kafka_python()
    for arguments in (engine, tools):
        assert arguments["security_protocol"] == "SASL_PLAINTEXT"
        assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
        assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("engine", "s3cret=x")
    assert tools["bootstrap_servers"] == ["a:1", "b:2"]
    assert "s3cret" not in repr(connection)


def test_a_connection_under_tls_checks_the_name_of_the_broker_unless_told_otherwise(tmp_path: Path) -> None:
    """A context is made for SSL and SASL_SSL; the check of the host name is on by default."""
    strict = connection_of("kafka://a:1", written(tmp_path, "security.protocol=ssl\n")).for_aiokafka()["ssl_context"]
    text = "security.protocol=SASL_SSL\nssl.check.hostname=false\n"
    lenient = connection_of("kafka://a:1", written(tmp_path, text)).for_aiokafka()["ssl_context"]
    assert (strict.check_hostname, lenient.check_hostname) == (True, False)


@pytest.mark.parametrize(
    ("address", "text", "complaint"),
    [
        ("kafka:a:1", "", "no address"),
        ("kafka://", "", "not HOST:PORT"),
        ("kafka://a", "", "not HOST:PORT"),
        ("kafka://a:1,b", "", "'b' is not HOST:PORT"),
        ("kafka://a:1?preefix=x", "", "'preefix'"),
        ("kafka://a:1", "sasl.user=x", "line 1: 'sasl.user'"),
        ("kafka://a:1", "\nnonsense", "line 2"),
        ("kafka://a:1", "security.protocol=TLS", "'TLS' is none of"),
    ],
)
def test_what_cannot_be_meant_is_refused(address: str, text: str, complaint: str, tmp_path: Path) -> None:
    """Nothing is guessed: the part at fault is named."""
    with pytest.raises(LogAddressRefused, match=complaint):
        connection_of(address, written(tmp_path, text))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """The configuration itself, and the certificates it names."""
    with pytest.raises(LogAddressRefused, match="nowhere"):
        connection_of("kafka://a:1", {"RINGFENCE_KAFKA_CONFIG": str(tmp_path / "nowhere")})
    text = f"security.protocol=SSL\nssl.ca.location={tmp_path / 'absent.pem'}\n"
    with pytest.raises(LogAddressRefused, match="certificates"):
        connection_of("kafka://a:1", written(tmp_path, text)).for_aiokafka()
    key = f"security.protocol=SSL\nssl.certificate.location={tmp_path / 'absent.pem'}\n"
    with pytest.raises(LogAddressRefused, match="certificates"):
        connection_of("kafka://a:1", written(tmp_path, key)).for_kafka_python()
