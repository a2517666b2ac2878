"""Where a cluster is, how to be let in, and what our topics are called there."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from ringfence_streams.errors import LogAddressRefused

PREFIX: Final = "ringfence."
PREFIX_VARIABLE: Final = "RINGFENCE_KAFKA_PREFIX"
CONFIG_VARIABLE: Final = "RINGFENCE_KAFKA_CONFIG"
RENAME: Final = "topic."
"""A line `topic.fills=executions` of the configuration file says that our `fills` is their `executions`."""

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_KEYS: Final = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.check.hostname",
    }
)


@dataclass(frozen=True, slots=True)
class Security:
    """How to be let in.  The names are those that librdkafka and its command-line tools use."""

    protocol: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)
    check_hostname: bool = True

    def context(self) -> ssl.SSLContext | None:
        """The TLS context; None when the connection is in plain text.  Raises LogAddressRefused for unusable files."""
        if not self.protocol.endswith("SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.check_hostname = self.check_hostname
            if self.certificate_file:
                context.load_cert_chain(self.certificate_file, self.key_file, self.key_password)
        except (OSError, ssl.SSLError) as error:
            raise LogAddressRefused(f"The certificates of the configuration cannot be used: {error}") from error
        return context


@dataclass(frozen=True, slots=True)
class Connection:
    """One cluster and our names on it."""

    bootstrap: str
    """HOST:PORT, several separated by commas."""
    prefix: str = PREFIX
    """Stands before every topic and consumer group of ours."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Logical topic -> its name on the cluster, where that is not prefix + logical name."""
    security: Security = field(default_factory=Security)

    def physical(self, topic: str) -> str:
        """The name on the cluster of one of our topics."""
        return self.names.get(topic) or self.prefix + topic

    def logical(self, name: str) -> str | None:
        """Our name of a topic on the cluster; None when it is not one of ours."""
        for topic, known in self.names.items():
            if known == name:
                return topic
        topic = name.removeprefix(self.prefix)
        return topic if name.startswith(self.prefix) and topic not in self.names else None

    def group(self, purpose: str) -> str:
        """The name of one of our consumer groups."""
        return self.prefix + purpose

    def for_aiokafka(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client."""
        security = self.security
        return {
            "bootstrap_servers": self.bootstrap,
            "client_id": _client_id(),
            "security_protocol": security.protocol,
            "ssl_context": security.context(),
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }

    def for_kafka_python(self) -> dict[str, Any]:
        """Keyword arguments of every kafka-python client."""
        security = self.security
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": security.protocol,
            "ssl_context": security.context(),
        }
        if security.protocol.startswith("SASL"):
            arguments |= {
                "sasl_mechanism": security.mechanism,
                "sasl_plain_username": security.username,
                "sasl_plain_password": security.password,
            }
        return arguments


def connection_of(address: str, environment: Mapping[str, str]) -> Connection:
    """The connection that an address and the environment describe.

    `address`: kafka://HOST:PORT[,HOST:PORT...][?prefix=NAME].  The prefix of the address goes before that of the
    environment.  Raises LogAddressRefused.
    """
    scheme, separator, rest = address.partition("://")
    hosts, _, query = rest.partition("?")
    if scheme != "kafka" or not separator:
        raise LogAddressRefused(f"{address!r} is no address of a Kafka cluster: kafka://HOST:PORT")
    for host in hosts.split(","):
        name, colon, port = host.rpartition(":")
        if not (name and colon and port.isdigit()):
            raise LogAddressRefused(f"{address!r}: {host!r} is not HOST:PORT")
    options = parse_qs(query, keep_blank_values=True)
    if unknown := options.keys() - {"prefix"}:
        raise LogAddressRefused(f"{address!r}: there is no option {min(unknown)!r}, only prefix")
    properties = _properties(environment.get(CONFIG_VARIABLE))
    return Connection(
        bootstrap=hosts,
        prefix=options["prefix"][-1] if "prefix" in options else environment.get(PREFIX_VARIABLE, PREFIX),
        names={key.removeprefix(RENAME): value for key, value in properties.items() if key.startswith(RENAME)},
        security=_security(properties),
    )


def _client_id() -> str:
    """What the cluster's logs and `ringfence doctor` call this process."""
    return f"ringfence-{socket.gethostname()}-{os.getpid()}"


def _properties(path: str | None) -> dict[str, str]:
    """The lines `key=value` of a configuration file; those after # are comments."""
    if not path:
        return {}
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LogAddressRefused(f"{CONFIG_VARIABLE} {path}: {error}") from error
    properties = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, separator, value = (part.strip() for part in line.partition("="))
        if not separator or not (key in _KEYS or key.startswith(RENAME)):
            raise LogAddressRefused(f"{CONFIG_VARIABLE} {path}, line {number}: {key!r} is not a setting known here")
        properties[key] = value
    return properties


def _security(properties: Mapping[str, str]) -> Security:
    protocol = properties.get("security.protocol", "PLAINTEXT").upper()
    if protocol not in _PROTOCOLS:
        raise LogAddressRefused(f"security.protocol {protocol!r} is none of {', '.join(_PROTOCOLS)}")
    return Security(
        protocol=protocol,
        mechanism=properties.get("sasl.mechanism", "PLAIN"),
        username=properties.get("sasl.username"),
        password=properties.get("sasl.password"),
        ca_file=properties.get("ssl.ca.location"),
        certificate_file=properties.get("ssl.certificate.location"),
        key_file=properties.get("ssl.key.location"),
        key_password=properties.get("ssl.key.password"),
        check_hostname=properties.get("ssl.check.hostname", "true").lower() != "false",
    )
