"""Settings of a node: where they come from, and what is refused."""

from __future__ import annotations

import ast
from pathlib import Path

import faust
import pytest
from faust.types.auth import AuthProtocol, SASLMechanism

from ringfence_streams.app.application import credentials_of
from ringfence_streams.app.settings import NodeSettings, SettingsRefused, settings_of
from ringfence_streams.kafka.connection import Connection, Security
from tests.test_tidy import ROOT, imported


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    """Each source decides what the one before it leaves open."""
    file = tmp_path / "node.toml"
    file.write_text('log = "kafka://file:1"\nshards = false\nweb_port = 7000\nmappings = ["a.toml"]\n')
    settings = settings_of(
        {
            "RINGFENCE_APP_CONFIG": str(file),
            "RINGFENCE_LOG": "kafka://environment:1",
            "RINGFENCE_APP_WEB_PORT": "8000",
            "RINGFENCE_APP_VIEWS": "off",
            "UNRELATED": "1",
        }
    )
    assert settings == NodeSettings(
        log="kafka://environment:1", shards=False, views=False, web_port=8000, mappings=["a.toml"]
    )
    assert settings_of({}) == NodeSettings()


def test_mappings_are_separated_by_commas_in_the_environment() -> None:
    """Blanks around them do not matter."""
    assert settings_of({"RINGFENCE_APP_MAPPINGS": "a.toml, b.toml,"}).mappings == ["a.toml", "b.toml"]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"RINGFENCE_APP_WEB_PORT": "many"}, "web_port"),
        ({"RINGFENCE_APP_SHARDS": "maybe"}, "shards"),
        ({"RINGFENCE_APP_CLOCK": "sundial"}, "clock"),
        ({"RINGFENCE_APP_CONFIG": "absent.toml"}, "absent.toml"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(environment: dict[str, str], told: str) -> None:
    """The message says which one it is."""
    with pytest.raises(SettingsRefused, match=told):
        settings_of(environment)


def test_a_setting_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A misspelt line of the file is not ignored."""
    file = tmp_path / "node.toml"
    file.write_text("wep_port = 1\n")
    with pytest.raises(SettingsRefused, match="wep_port"):
        settings_of({"RINGFENCE_APP_CONFIG": str(file)})


def test_every_shard_gets_the_settings_of_the_node() -> None:
    """What steers the fold is equal on all of them."""
    first, second = NodeSettings(clock="events", id_window_us=7, max_skew_us=8, ledger=True).shard_settings(2)
    assert (first.shard, second.shard, first.shards) == (0, 1, 2)
    assert (first.clock, first.id_window_us, first.skew_us, first.ledger) == ("events", 7, 8, True)


def test_faust_is_let_in_as_every_other_client_is() -> None:
    """TLS and SASL of the connection are Faust's too; in plain text there is nothing to show."""
    assert credentials_of(Connection("b:1")) is None
    tls = credentials_of(Connection("b:1", security=Security(protocol="SSL")))
    assert isinstance(tls, faust.SSLCredentials)
    security = Security(protocol="SASL_SSL", mechanism="SCRAM-SHA-512", username="ann", password="secret")  # noqa: S106 -- of nobody
    sasl = credentials_of(Connection("b:1", security=security))
    assert isinstance(sasl, faust.SASLCredentials)
    assert (sasl.protocol, sasl.mechanism) == (AuthProtocol.SASL_SSL, SASLMechanism.SCRAM_SHA_512)
    assert (sasl.username, sasl.password) == ("ann", "secret")
    assert sasl.ssl_context is not None


def test_nothing_but_the_application_imports_faust() -> None:
    """Whoever needs shards, a log or the command line needs neither Faust nor what it brings."""
    package = ROOT / "streams" / "ringfence_streams"
    others = [path for path in package.rglob("*.py") if "app" not in path.relative_to(package).parts[:-1]]
    assert len(others) > 20
    found = {path: {module for _, module in imported(ast.parse(path.read_text(encoding="utf-8")))} for path in others}
    assert {path: modules for path, modules in found.items() if modules & {"faust", "mode"}} == {}
