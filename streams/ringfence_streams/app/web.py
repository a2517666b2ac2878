"""The paths of the web server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faust
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ringfence_streams.app.answers import answer, refusal
from ringfence_streams.app.membership import Readiness
from ringfence_streams.app.queries import Queries

_UNAVAILABLE = 503

Reply = Callable[[web.Request], web.Response]


def add_paths(app: faust.App, readiness: Readiness, registry: CollectorRegistry, queries: Queries | None) -> None:
    """Serve every path of the node."""
    _serve(app, "/health", lambda _: answer({"alive": True}))
    _serve(app, "/ready", lambda _: _ready(readiness))
    _serve(app, "/metrics", lambda _: _metrics(registry))
    _serve(app, "/accounts/{account}", _asked(queries, lambda q, r: q.account(r, r.match_info["account"])))
    _serve(
        app,
        "/accounts/{account}/positions/{instrument}",
        _asked(queries, lambda q, r: q.position(r, r.match_info["account"], r.match_info["instrument"])),
    )
    _serve(app, "/instruments/{instrument}", _asked(queries, lambda q, r: q.instrument(r.match_info["instrument"])))
    _serve(app, "/calls", _asked(queries, lambda q, _: q.calls()))
    _serve(app, "/liquidations", _asked(queries, lambda q, _: q.liquidations()))


def _serve(app: faust.App, path: str, reply: Reply) -> None:
    async def handle(_view: object, request: Any, **_matched: str) -> Any:
        return reply(request)  # Faust's web requests and responses are aiohttp's

    app.page(path, name=path)(handle)


def _asked(queries: Queries | None, ask: Callable[[Queries, web.Request], web.Response]) -> Reply:
    if queries is None:
        return lambda _: refusal("no_views", "This worker runs shards alone; ask one that runs the read side")
    return lambda request: ask(queries, request)


def _ready(readiness: Readiness) -> web.Response:
    ready = all(readiness.checks().values())
    return answer({"ready": ready, **readiness.details()}, status=200 if ready else _UNAVAILABLE)


def _metrics(registry: CollectorRegistry) -> web.Response:
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
