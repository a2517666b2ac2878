"""A TCP proxy between engines and a broker, which can do to their connection whatever networks do.

It understands just enough of Kafka's protocol to tell an acknowledgement of an append from other answers: a request
begins with its length, its kind and a number, and the answer repeats the number.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

PRODUCE: Final = 0
"""The kind of request that appends records."""
_HEADER: Final = struct.Struct(">ihhi")
_ANSWER: Final = struct.Struct(">ii")
_LAST_ANSWERS_S: Final = 2.0
"""A broker has so long to answer what a client asked that is gone."""


class Proxy:
    """Listens on `port` and passes on to `target`, in a thread of its own.  Every method may be called from outside.

    requests, answers: "pass" or "hold": kept, and passed on later, as packets are that must be sent again.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.lost_acknowledgements = 0
        """Answers to appends that were swallowed."""
        self.held_frames = 0
        """Appends to a journal that were kept back."""
        self._target = target
        self.requests = "pass"
        self.answers = "pass"
        self._delay_s = 0.0
        self._closed = False
        self._to_lose = 0
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._links)

    def direct(self, *, requests: str | None = None, answers: str | None = None) -> None:
        """Pass or hold from now on."""
        self._soon(lambda: self._direct(requests or self.requests, answers or self.answers))

    def delay(self, seconds: float) -> None:
        """Every chunk of bytes takes so long, in both directions."""
        self._soon(lambda: setattr(self, "_delay_s", seconds))

    def cut(self) -> None:
        """End every connection and accept no other."""
        self._call(self._cut())

    def restore(self) -> None:
        """Accept connections again, pass everything on at once."""
        self._soon(self._restore)

    def lose_acknowledgements(self, number: int) -> None:
        """Swallow so many answers to appends; each takes its connection with it, as an answer that is lost does."""
        self._soon(lambda: setattr(self, "_to_lose", number))

    async def passage(self, direction: str) -> None:
        """Return when a message may go on."""
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        while getattr(self, direction) == "hold":
            await self._flowing.wait()

    def lose_one(self) -> bool:
        """Whether this acknowledgement is to be swallowed."""
        if not self._to_lose:
            return False
        self._to_lose -= 1
        self.lost_acknowledgements += 1
        return True

    def _direct(self, requests: str, answers: str) -> None:
        self.requests, self.answers = requests, answers
        self._flowing.set()
        self._flowing = asyncio.Event()

    def _restore(self) -> None:
        self._closed, self._delay_s, self._to_lose = False, 0.0, 0
        self._direct("pass", "pass")

    def _soon(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        self._call(act())

    def _call(self, action: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(30)

    async def _cut(self) -> None:
        self._closed = True
        while self._links:
            for link in list(self._links):
                link.close()
            await asyncio.sleep(0.01)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _end(self) -> None:
        self._server.close()
        await self._cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), there)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client, self._broker = client, broker
        self._appends: set[int] = set()
        """Numbers of requests that append."""
        self._received: asyncio.Queue[bytes] = asyncio.Queue()

    async def run(self) -> None:
        """Until either side ends it.  A client that dies takes nothing back of what it had sent."""
        receiving, forward, back = (asyncio.ensure_future(w) for w in (self._receive(), self._forward(), self._back()))
        try:
            await asyncio.wait({forward, back}, return_when=asyncio.FIRST_COMPLETED)
            if not back.done():
                await asyncio.wait({back}, timeout=_LAST_ANSWERS_S)
        finally:
            for task in (receiving, forward, back):
                task.cancel()
            await asyncio.gather(receiving, forward, back, return_exceptions=True)
            self.close()

    def close(self) -> None:
        """Both sides."""
        for _, writer in (self._client, self._broker):
            writer.transport.abort()

    async def _receive(self) -> None:
        """Requests, one by one, as soon as they arrive."""
        try:
            while True:
                head = await self._client[0].readexactly(_HEADER.size)
                size, kind, _, number = _HEADER.unpack(head)
                rest = await self._client[0].readexactly(size + 4 - _HEADER.size)
                if kind == PRODUCE:
                    self._appends.add(number)
                    self._proxy.held_frames += self._proxy.requests == "hold" and b".journal" in rest
                self._received.put_nowait(head + rest)
        except (OSError, asyncio.IncompleteReadError):
            self._received.put_nowait(b"")

    async def _forward(self) -> None:
        with suppress(OSError):
            while message := await self._received.get():
                await self._proxy.passage("requests")
                self._broker[1].write(message)
                await self._broker[1].drain()

    async def _back(self) -> None:
        """Answers, one by one."""
        proxy = self._proxy
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await self._broker[0].readexactly(_ANSWER.size)
                size, number = _ANSWER.unpack(head)
                rest = await self._broker[0].readexactly(size + 4 - _ANSWER.size)
                if number in self._appends and proxy.lose_one():
                    return
                await proxy.passage("answers")
                with suppress(OSError):  # the client may be gone; what it asked for is done all the same
                    self._client[1].write(head + rest)
                    await self._client[1].drain()
