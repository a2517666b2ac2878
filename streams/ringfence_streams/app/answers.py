"""Answers of the web server: JSON, and for every error one stable code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web


class ErrorCode(NamedTuple):
    """One error: its status and what it means."""

    status: int
    meaning: str


ERRORS: Final[Mapping[str, ErrorCode]] = {
    "no_such_path": ErrorCode(404, "the server has no such path"),
    "no_such_account": ErrorCode(404, "the account has no wallet and no open position"),
    "no_such_position": ErrorCode(404, "the account has no open position in the instrument"),
    "no_such_instrument": ErrorCode(404, "no shard of this worker has heard of the instrument"),
    "method_not_allowed": ErrorCode(405, "the server is read with GET alone"),
    "held_elsewhere": ErrorCode(307, "another worker holds the shard; `location` says where"),
    "no_views": ErrorCode(503, "this worker does not run the read side"),
    "not_ready": ErrorCode(503, "the shard is being recovered, or moves to another worker"),
    "internal": ErrorCode(500, "a fault of the server; its log has the details"),
}
"""Every error code: a wire contract, never renamed."""


def answer(value: object, *, status: int = 200) -> web.Response:
    """A JSON answer; `orjson.Fragment`s inside are passed on byte for byte."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def refusal(code: str, message: str, *, location: str | None = None) -> web.Response:
    """An error answer: `{"error": {"code": ..., "message": ...}}`."""
    error = {"code": code, "message": message}
    headers = {}
    if location is not None:
        error["location"] = headers["Location"] = location
    return web.Response(
        body=orjson.dumps({"error": error}),
        status=ERRORS[code].status,
        headers=headers,
        content_type="application/json",
    )


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def coded_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the errors of the server itself codes like all others."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return refusal("no_such_path", f"There is nothing at {request.path}")
    except web.HTTPMethodNotAllowed:
        return refusal("method_not_allowed", f"{request.method} is not answered at {request.path}")
    except web.HTTPException:
        raise
    except Exception as error:
        request.app.logger.exception("A request to %s failed", request.path)
        return refusal("internal", type(error).__name__)


def members(**given: Any) -> dict[str, Any]:
    """A JSON object without the members that are None."""
    return {name: value for name, value in given.items() if value is not None}
