"""A receiver of alerts: a real HTTP server that can be told how to answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What it was sent, and what it answers."""

    def __init__(self) -> None:
        self.attempts: list[dict[str, Any]] = []
        """The body of every request, in order."""
        self.keys: list[str | None] = []
        """The header `Idempotency-Key` of every request."""
        self.accepted: list[str] = []
        """Ids that were answered with 200."""
        self.answer: Callable[[dict[str, Any]], int] = lambda _: 200
        """The status for an alert."""
        self.url = ""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.attempts.append(body)
            receiver.keys.append(self.headers["Idempotency-Key"])
            status = receiver.answer(body)
            if status == 200:
                receiver.accepted.append(body["id"])
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/alerts"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
