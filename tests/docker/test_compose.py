"""The compose file, against the specification's own schema, our programs, and our settings.

`compose-spec.json` is the schema of the Compose Specification (compose-spec/compose-spec, Apache-2.0) at commit
170098ba07d9f53c383a41bfd4c5166b0a4529a6.
"""

import json
import shlex
from pathlib import Path
from typing import Any

import click
import fastjsonschema
import msgspec
import pytest
import typer.main
from faust.cli.faust import cli as faust_cli
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from ringfence_streams.app.settings import FILE_VARIABLE, LOG_VARIABLE, VARIABLE, NodeSettings, settings_of
from ringfence_streams.cli.app import app
from ringfence_streams.kafka.connection import CONFIG_VARIABLE, PREFIX_VARIABLE
from ringfence_streams.localkafka.jars import kafka_version
from tests.docker.definitions import DOCKER, PINNED, read_yaml, services, without_defaults

SCHEMA = Path(__file__).with_name("compose-spec.json")
OURS = {"topics", "engine", "views"}
VARIABLES = {FILE_VARIABLE, LOG_VARIABLE, CONFIG_VARIABLE, PREFIX_VARIABLE} | {
    VARIABLE + field.name.upper() for field in msgspec.structs.fields(NodeSettings)
}


def valid(document: object) -> bool:
    """Whether a document is a compose file by the specification's schema."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    # The schema names its dialect by an address that the validator does not know.
    schema["$schema"] = "http://json-schema.org/draft-07/schema"
    try:
        fastjsonschema.compile(schema)(document)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


def test_the_compose_file_keeps_to_the_compose_specification() -> None:
    """It is valid by the specification's schema, and the schema bites: a misspelt key is not."""
    document = read_yaml("compose.yaml")
    assert valid(document)
    document["services"]["engine"]["enviroment"] = {}
    assert not valid(document)


PROGRAMS: dict[str, Any] = {"ringfence": typer.main.get_command(app), "faust": faust_cli}
REFUSED = (click.UsageError, typer.BadParameter.__mro__[1])
"""What click raises for a command line that it does not accept; typer brings a click of its own."""


def parsed(command: list[str]) -> str:
    """Let the program that is named parse its command line, without running it; the name of the innermost command.

    Raises one of `REFUSED`.
    """
    name, *arguments = command
    found, context = PROGRAMS[name], None
    while True:
        context = found.make_context(name, arguments, parent=context)
        arguments = [*context._protected_args, *context.args]
        if not hasattr(found, "resolve_command"):
            return name
        name, found, arguments = found.resolve_command(context, arguments)


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_is_one_that_our_programs_accept(name: str) -> None:
    """The command of a service, else that of the image, is parsed by the real command line."""
    image_command = next(
        json.loads(line.removeprefix("CMD"))
        for line in (DOCKER / "Dockerfile").read_text().splitlines()
        if line.startswith("CMD")
    )
    command = [without_defaults(word) for word in services()[name].get("command", image_command)]
    assert parsed(command) == {"topics": "create"}.get(name, "worker")


def test_a_command_that_does_not_exist_is_noticed() -> None:
    """A command line with an unknown option or command is not accepted."""
    for line in ("ringfence topics create --shrads 4", "ringfence rum", "faust -A ringfence_streams.app wroker"):
        with pytest.raises(REFUSED):
            parsed(shlex.split(line))


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_a_setting_of_ours(name: str) -> None:
    """What a service sets in its environment is known to the programs in it, and its values are accepted."""
    environment = services()[name]["environment"]
    assert environment.keys() <= VARIABLES
    given = {key: without_defaults(value) for key, value in environment.items() if value is not None}
    assert settings_of(given).log == "kafka://kafka:9092"


def test_every_setting_of_the_broker_is_one_that_kafka_has(kafka: str) -> None:
    """The image turns KAFKA_LOG_DIRS into log.dirs: each such name is known to a real broker of the same version."""
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    try:
        (described,) = admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")], config_filter="all")[
            "broker"
        ].values()
    finally:
        admin.close()
    environment = services()["kafka"]["environment"]
    names = {name.removeprefix("KAFKA_").lower().replace("_", ".") for name in environment if name != "CLUSTER_ID"}
    assert names <= described.keys()
    assert kafka_version() in services()["kafka"]["image"]


def test_engine_and_views_share_the_work() -> None:
    """One service runs the shards and no views, the other the views and no shards."""
    engine, views = (
        settings_of({key: without_defaults(value) for key, value in services()[name]["environment"].items() if value})
        for name in ("engine", "views")
    )
    assert (engine.shards, engine.views, views.shards, views.views) == (True, False, False, True)


def test_every_foreign_image_is_fixed_by_its_digest() -> None:
    """Images that are not built here have a tag to read and a digest to hold; none names a registry."""
    foreign = {name: service["image"] for name, service in services().items() if "build" not in service}
    assert set(foreign) == {"kafka", "kafka-ui", "prometheus", "grafana"}
    for image in foreign.values():
        assert PINNED.fullmatch(image)


def test_nothing_is_reachable_from_another_machine() -> None:
    """Every published port is on the loopback address: neither broker nor web server asks who is calling."""
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_our_containers_cannot_change_themselves() -> None:
    """Their file system is read-only but for temporary ones, they hold no capability and can gain none."""
    for name in OURS:
        service = services()[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_services_wait_for_what_exists() -> None:
    """Whatever is waited for is a service; the engine waits for topics that were made, and a healthy broker."""
    for service in services().values():
        assert set(service.get("depends_on", ())) <= services().keys()
    waits = {name: wait["condition"] for name, wait in services()["engine"]["depends_on"].items()}
    assert waits == {"kafka": "service_healthy", "topics": "service_completed_successfully"}
    assert "healthcheck" in services()["kafka"]


def test_what_is_mounted_exists() -> None:
    """Each volume is a named one of the file or a path beside it, which is mounted read-only."""
    named = read_yaml("compose.yaml")["volumes"].keys()
    for service in services().values():
        for volume in service.get("volumes", []):
            source, *rest = volume.split(":")
            assert source in named or ((DOCKER / source).exists() and rest[-1] == "ro"), volume
