"""Settings of a node: from the environment, from a TOML file, or made in Python."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ringfence_schemas.frames import Settings as ShardSettings
from ringfence_streams.kafka.connection import Connection, connection_of

VARIABLE: Final = "RINGFENCE_APP_"
FILE_VARIABLE: Final = "RINGFENCE_APP_CONFIG"
LOG_VARIABLE: Final = "RINGFENCE_LOG"


class SettingsRefused(Exception):
    """Settings that cannot be used; the message names the setting and says what is expected."""


class NodeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one worker does.  In the environment a field is `RINGFENCE_APP_<FIELD>`, and `log` is `RINGFENCE_LOG`."""

    log: str = "kafka://127.0.0.1:9092"
    """Address of the cluster; `RINGFENCE_KAFKA_CONFIG` names the file with TLS, SASL and names of topics."""
    shards: bool = True
    """Whether the worker runs shards of the engine."""
    views: bool = True
    """Whether the worker runs the read side: projections, queries, alerts, foreign topics."""
    url: str | None = None
    """How other workers and clients reach this one's web server; by default the host's name and the port."""
    web_port: int = 6066
    web_bind: str = "0.0.0.0"  # noqa: S104 -- a server in a container is reached from outside it
    data_directory: str = "out/ringfence-app"
    """Where Faust keeps its small files.  Tables are in memory and come back from their changelogs."""
    alert_url: str | None = None
    """Alerts are posted here; without it nobody is alerted."""
    alert_authorization: str | None = None
    """Sent with every alert as the header `Authorization`."""
    alert_timeout_us: int = 5_000_000
    alert_retry_us: int = 500_000
    """The first pause after a failed alert; it doubles up to `alert_retry_limit_us`."""
    alert_retry_limit_us: int = 60_000_000
    mappings: list[str] = []
    """Files that map foreign topics onto ours; separated by commas in the environment."""
    clock: Literal["wall", "events"] = "wall"
    id_window_us: int = 86_400_000_000
    max_skew_us: int = 10_000_000
    max_clock_step_us: int = 86_400_000_000
    ledger: bool = False
    """Whether shards publish the postings of the ledger."""

    def connection(self, environment: Mapping[str, str]) -> Connection:
        """The cluster.  Raises LogAddressRefused."""
        return connection_of(self.log, environment)

    def shard_settings(self, shards: int) -> list[ShardSettings]:
        """What every shard of `shards` folds under."""
        return [
            ShardSettings(
                clock=self.clock,
                id_window_us=self.id_window_us,
                skew_us=self.max_skew_us,
                engine=f"ringfence {version('ringfence')}",
                ledger=self.ledger,
                shard=shard,
                shards=shards,
            )
            for shard in range(shards)
        ]


def settings_of(environment: Mapping[str, str]) -> NodeSettings:
    """The settings of an environment: what it says itself goes before its TOML file.  Raises SettingsRefused."""
    stated: dict[str, Any] = {}
    if path := environment.get(FILE_VARIABLE):
        stated |= _read(path)
    if log := environment.get(LOG_VARIABLE):
        stated["log"] = log
    for field in msgspec.structs.fields(NodeSettings):
        text = environment.get(VARIABLE + field.name.upper())
        if text is not None:
            stated[field.name] = _value(field.name, text)
    try:
        return msgspec.convert(stated, NodeSettings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsRefused(f"Settings of the node: {error}") from error


def _value(name: str, text: str) -> object:
    if name == "mappings":
        return [part for part in (each.strip() for each in text.split(",")) if part]
    return {"on": "true", "off": "false"}.get(text, text)


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsRefused(f"{FILE_VARIABLE} {path}: {error}") from error
