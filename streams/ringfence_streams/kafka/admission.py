"""Whether a cluster lets us in, and if not, why: the clients alone would only say that they could not begin."""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiokafka.conn import create_conn
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from ringfence_streams.kafka.connection import Connection

TIMEOUT_MS: Final = 10_000
"""A cluster that does not answer for so long counts as unreachable."""


def reach(connection: Connection) -> None:
    """Find one address that answers this user.  Raises OSError, which says what went wrong at the last one."""
    with ThreadPoolExecutor(1) as aside:  # the caller's thread may have a loop of its own
        aside.submit(asyncio.run, _reach(connection)).result()


async def _reach(connection: Connection) -> None:
    failure = OSError("no address")
    for address in connection.bootstrap.split(","):
        try:
            await _ask(connection, address)
        except (KafkaError, OSError) as error:
            failure = OSError(_reason(connection, error))
            failure.__cause__ = error
        else:
            return
    raise failure


async def _ask(connection: Connection, address: str) -> None:
    """Connect as the engine's clients do, and ask a question that every broker answers."""
    host, _, port = address.rpartition(":")
    arguments = connection.for_aiokafka()
    del arguments["bootstrap_servers"]
    conn = await create_conn(host, int(port), request_timeout_ms=TIMEOUT_MS, **arguments)
    try:
        await conn.send(MetadataRequest([]))
    finally:
        conn.close()


def _reason(connection: Connection, error: KafkaError | OSError) -> str:
    """What to tell an operator."""
    security = connection.security
    match error:
        case SaslAuthenticationFailed():
            return f"{error} (user {security.username!r})"
        case UnsupportedSaslMechanismError():
            return f"it does not take sasl.mechanism {security.mechanism}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not to be trusted: {error.verify_message}; ssl.ca.location says whose are"
        case KafkaConnectionError() | ConnectionResetError():
            return (
                f"it closes the connection: the listener may not be one for security.protocol {security.protocol}, "
                "or want a certificate of the client"
            )
    return str(error) or repr(error)
