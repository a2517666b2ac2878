"""Worker processes, as an operator starts them, and their web servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from tests.streams.app.cluster import Topics, eventually


class Answer(NamedTuple):
    """What a web server said."""

    status: int
    body: bytes
    location: str | None = None

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Worker:
    """One `faust worker`."""

    def __init__(self, log: str, folder: Path, settings: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = folder / f"{self.port}.log"
        environment = os.environ | {
            "RINGFENCE_LOG": log,
            "RINGFENCE_APP_URL": self.url,
            "RINGFENCE_APP_WEB_PORT": str(self.port),
            "RINGFENCE_APP_WEB_BIND": "127.0.0.1",
            "RINGFENCE_APP_DATA_DIRECTORY": str(folder / str(self.port)),
            "RINGFENCE_APP_CLOCK": "events",
            **{f"RINGFENCE_APP_{name.upper()}": value for name, value in settings.items()},
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "faust", "-A", "ringfence_streams.app", "worker", "-l", "warn"],
                env=environment,
                stdout=output,
                stderr=output,
            )

    def get(self, path: str, method: str = "GET") -> Answer:
        """Ask its web server; status 0 when it does not answer."""
        try:
            request = urllib.request.Request(self.url + path, method=method)  # noqa: S310 -- the worker's own address
            with _opener.open(request, timeout=5) as answer:
                return Answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read(), error.headers.get("Location"))
        except OSError:
            return Answer(0, b"null")

    def ready(self) -> Worker:
        """Wait until it is ready."""

        def look() -> bool:
            assert self.process.poll() is None, self.output.read_text()
            return self.get("/ready").status == 200

        eventually(look, f"worker ready: {self.get('/ready').body!r}")
        return self

    def holds(self, *shards: int) -> Worker:
        """Wait until it holds these shards' tables, and no other."""
        eventually(lambda: self.get("/calls").json.get("shards") == list(shards), f"{self.url} holds {shards}")
        return self

    def metric(self, name: str, **labels: str) -> float:
        """The value of one metric, summed over labels not given."""
        total = 0.0
        for line in self.get("/metrics").body.decode().splitlines():
            told, _, rest = line.partition("{")
            if told.split(" ")[0] != name:
                continue
            inside, _, value = rest.rpartition("} ") if rest else ("", "", line.split(" ")[1])
            if all(f'{label}="{wanted}"' in inside for label, wanted in labels.items()):
                total += float(value)
        return total

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM: the worker ends orderly."""
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0, self.output.read_text()

    def pause(self) -> None:
        """SIGSTOP: the worker does nothing from here on, and does not know."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)


class Workers:
    """Starts workers on the topics of a test."""

    def __init__(self, topics: Topics, folder: Path) -> None:
        self._topics = topics
        self._folder = folder
        self._started: list[Worker] = []

    def start(self, **settings: str) -> Worker:
        """Start one; `ready` waits for it."""
        worker = Worker(self._topics.address, self._folder, settings)
        self._started.append(worker)
        return worker

    def end(self) -> None:
        """End whatever still runs.  What the workers said is shown with a test that failed."""
        for worker in self._started:
            if worker.process.poll() is None:
                sys.stdout.write(f"{worker.url}/ready {worker.get('/ready').body.decode()}\n")
                worker.resume()
                worker.kill()
            sys.stdout.write(worker.output.read_text()[-5_000:])
