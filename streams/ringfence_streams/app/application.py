"""`create_app`: one worker, made of the parts that its settings ask for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import faust
from faust.app import BootStrategy
from faust.types import TransportT
from mode.types import ServiceT
from prometheus_client import CollectorRegistry

from ringfence_schemas.topics import JOURNAL
from ringfence_streams.app.answers import coded_errors
from ringfence_streams.app.mapping import MappingRefused
from ringfence_streams.app.membership import Readiness, WorkerMembership
from ringfence_streams.app.metrics import NodeCollector, Readings, ShardReadings
from ringfence_streams.app.projections import PROJECTED
from ringfence_streams.app.queries import Queries
from ringfence_streams.app.readside import ReadSide
from ringfence_streams.app.settings import NodeSettings, SettingsRefused, settings_of
from ringfence_streams.app.shards import Shards
from ringfence_streams.app.transport import CarefulTransport
from ringfence_streams.app.web import add_paths
from ringfence_streams.errors import LogError, LogUnsuitable
from ringfence_streams.kafka.administration import Administration
from ringfence_streams.kafka.connection import Connection

VIEWS: Final = "views"
"""The consumer group of the read side, after the prefix; Faust's changelogs begin with its name."""

_SESSION_S: Final = 10.0
_HEARTBEAT_S: Final = 1.0
_COMMIT_S: Final = 1.0


class NodeBoot(BootStrategy):
    """Starts the parts of a node before Faust's own: shards wait for nobody."""

    def server(self) -> Iterable[ServiceT]:
        """With a read side."""
        return [*_parts(self.app), *super().server()]

    def producer_only(self) -> Iterable[ServiceT]:
        """Without: shards and the web server."""
        return [*_parts(self.app), *self.web_server()]


def _parts(app: Any) -> list[ServiceT]:
    assert isinstance(app, NodeApp), "the strategy belongs to the application below"
    return app.parts


class NodeApp(faust.App):
    """A Faust application with the parts of a node."""

    BootStrategy = NodeBoot

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parts: list[ServiceT] = []
        self.node_shards: Shards | None = None
        self.read_side: ReadSide | None = None

    def _new_transport(self) -> TransportT:
        return CarefulTransport(self.conf.broker_consumer, self)

    async def on_started(self) -> None:
        """Declare what only the running application can."""
        if self.read_side is not None:
            await self.read_side.declare()
        await super().on_started()

    async def stop(self) -> None:
        """Let the shards hand over at once; the read side may take its time."""
        if self.node_shards is not None:
            self.node_shards.ask_to_stop()
        await super().stop()


def environment_app() -> NodeApp:
    """The application that the environment describes; the program ends with a line when it cannot be made."""
    try:
        return create_app(settings_of(os.environ))
    except (LogError, MappingRefused, SettingsRefused) as error:
        raise SystemExit(f"ringfence: {error}") from error


def create_app(settings: NodeSettings) -> NodeApp:
    """Make the application of one worker.  It asks the cluster how many shards there are.

    Make it before an event loop runs: Faust brings its own.  Raises LogError and MappingRefused.
    """
    connection = settings.connection(os.environ)
    shards, replication = _survey(connection) if settings.views else (0, 1)
    app = NodeApp(connection.group(VIEWS), **_options(settings, connection, shards, replication))
    readings: list[Readings] = []
    membership, queries = None, None
    if settings.shards:
        app.node_shards = Shards(settings)
        shard_readings = ShardReadings(connection, app.node_shards)
        app.parts += [app.node_shards, shard_readings.ends]
        readings.append(shard_readings)
    if settings.views:
        side = app.read_side = ReadSide(app, settings, connection, shards=shards, replication=replication)
        app.parts += [side.outbox, side.ends, *([side.courier] if side.courier else [])]
        readings.append(side)
        membership = WorkerMembership(app, side.positions, shards)
        queries = Queries(
            membership,
            positions=side.positions,
            wallets=side.wallets,
            calls=side.calls,
            liquidations=side.liquidations,
            instruments=side.instruments,
        )
    else:
        app.producer_only = True
    registry = CollectorRegistry()
    registry.register(NodeCollector(readings))
    add_paths(app, Readiness(membership, app.node_shards), registry, queries)
    return app


def _survey(connection: Connection) -> tuple[int, int]:
    """How many shards the log has and how many replicas its journal.  Raises LogUnsuitable, LogUnavailable."""
    with Administration(connection) as administration:
        topics = administration.topics([JOURNAL, *PROJECTED], configs=False)
    for topic in (JOURNAL, *PROJECTED):
        if topic not in topics:
            raise LogUnsuitable(f"Topic {connection.physical(topic)} does not exist")
    shards = len(topics[JOURNAL].partitions)
    for topic in PROJECTED:
        found = len(topics[topic].partitions)
        if found != shards:
            raise LogUnsuitable(f"Topic {topic} has {found} partitions, {shards} shards need as many")
    return shards, topics[JOURNAL].replication


def _options(settings: NodeSettings, connection: Connection, shards: int, replication: int) -> dict[str, Any]:
    """Faust's settings, as far as they are ours to decide."""
    Path(settings.data_directory).mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {
        "broker": [f"kafka://{host}" for host in connection.bootstrap.split(",")],
        "broker_credentials": credentials_of(connection),
        "broker_session_timeout": _SESSION_S,
        "broker_heartbeat_interval": _HEARTBEAT_S,
        "broker_commit_interval": _COMMIT_S,
        "consumer_auto_offset_reset": "earliest",
        "producer_acks": -1,
        "stream_wait_empty": False,  # what is not acknowledged is read again
        "store": "memory://",
        "datadir": settings.data_directory,
        "table_standby_replicas": 0,
        "topic_partitions": shards or 1,
        "topic_replication_factor": replication,
        "topic_disable_leader": True,
        "web_port": settings.web_port,
        "web_bind": settings.web_bind,
        "web_application_options": {"middlewares": [coded_errors]},
        "web_tables_enabled": False,
        "web_router_enabled": False,
        "web_stats_enabled": False,
        "web_graph_enabled": False,
        "web_metrics_enabled": False,
    }
    if settings.url:
        options["canonical_url"] = settings.url
    return options


def credentials_of(connection: Connection) -> faust.SASLCredentials | faust.SSLCredentials | None:
    """How Faust is let in; None in plain text."""
    security = connection.security
    context = security.context()
    if security.protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=security.username, password=security.password, ssl_context=context, mechanism=security.mechanism
        )
    return faust.SSLCredentials(context) if context is not None else None
