"""Asking a broker again until it answers: a broker that is away pauses the engine, it does not stop it (A6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from ringfence_streams.errors import LogUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE_S: Final = 0.25

FORBIDDEN: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
"""What asking again does not change."""


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, asked for again and again.  Raises LogUnavailable when the broker forbids it."""
    told = False
    while True:
        try:
            return await ask()
        except FORBIDDEN as error:
            raise LogUnavailable(f"The broker refuses: {error!r}") from error
        except (KafkaError, OSError) as error:
            if not told:
                logger.warning("The broker does not answer, asking again: %r", error)
                told = True
        await asyncio.sleep(PAUSE_S)
