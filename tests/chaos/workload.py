"""A market with known inputs on every topic, and publishers that put it on a log without asking our code."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tests.chaos.cluster import Topics

Json = dict[str, Any]

ACCOUNTS = 24
INSTRUMENTS = {"BTC-USDT-PERP": 60_000, "ETH-USDT-PERP": 3_000}
PREAMBLE_MS = 1_000
"""Timestamp of the first record; each later one is a millisecond younger, so that the merge rule leaves no choice."""

TOPICS = {
    "asset": ("instruments", "asset"),
    "instrument": ("instruments", "instrument"),
    "fund_deposit": ("instruments", "instrument"),
    "deposit": ("deposits", "account"),
    "withdrawal": ("deposits", "account"),
    "add_margin": ("commands", "account"),
    "remove_margin": ("commands", "account"),
    "set_leverage": ("commands", "account"),
    "tick": ("ticks", "instrument"),
    "funding": ("ticks", "instrument"),
    "fill": ("fills", "account"),
}
"""Topic of each type of input, and the field that is its key."""


class Input(NamedTuple):
    """One record to be published."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    partition: int | None = None
    """None: where its key hashes to."""
    headers: tuple[tuple[str, bytes], ...] = ()


class Market:
    """Accounts with leverage on two instruments whose prices wander through their thresholds, for ever."""

    def __init__(self, seed: object, *, now: Callable[[], int] | None = None) -> None:
        self._random = random.Random(f"market {seed}")
        self._count = count(1)
        self._now = now
        self._price = {name: price * 10 for name, price in INSTRUMENTS.items()}

    def inputs(self, number: int) -> list[Input]:
        """The preamble and so many events after it, as records a millisecond apart."""
        return list(self.records(self.preamble())) + list(self.records(self.event() for _ in range(number)))

    def records(self, events: Iterable[Json]) -> Iterator[Input]:
        """Events as records."""
        for event in events:
            topic, key = TOPICS[event["type"]]
            yield Input(topic, event[key].encode(), json.dumps(event).encode(), self._timestamp_ms(event))

    def preamble(self) -> Iterator[Json]:
        """What there is before anybody trades."""
        yield self._stamped({"type": "asset", "asset": "USDT", "decimals": 6})
        for name in INSTRUMENTS:
            yield self._stamped(
                {
                    "type": "instrument",
                    "instrument": name,
                    "version": 1,
                    "contract": "linear",
                    "settle_asset": "USDT",
                    "price_tick": "0.1",
                    "quantity_step": "0.001",
                    "tiers": [
                        {"floor": "0", "maintenance_rate": "0.005", "max_leverage": "100"},
                        {"floor": "50000", "maintenance_rate": "0.01", "max_leverage": "50"},
                    ],
                    "default_leverage": "40",
                    "margin_call_levels": ["3", "1.5"],
                    "liquidation": {
                        "mode": "takeover" if name < "C" else "order",
                        "deadline_us": 40_000,
                        "max_steps": 2,
                    },
                }
            )
            yield self._stamped(
                {"type": "fund_deposit", "transfer_id": f"seed {name}", "instrument": name, "amount": "1000000"}
            )
        for number in range(ACCOUNTS):
            yield self._stamped(
                {
                    "type": "deposit",
                    "transfer_id": "first",
                    "account": account(number),
                    "asset": "USDT",
                    "amount": "900000",
                }
            )

    def event(self) -> Json:
        """Whatever happens next: half of it ticks."""
        rng = self._random
        number = next(self._count)
        name, who = rng.choice(list(INSTRUMENTS)), account(rng.randrange(ACCOUNTS))
        kind = rng.choices(
            ("tick", "fill", "deposit", "withdrawal", "add_margin", "remove_margin", "set_leverage", "funding"),
            (50, 30, 4, 4, 4, 4, 3, 1),
        )[0]
        event: Json = {"type": kind}
        if kind in {"tick", "funding", "fill"}:
            event["instrument"] = name
        if kind not in {"tick", "funding"}:
            event["account"] = who
        return self._stamped(event | getattr(self, f"_{kind}")(name, number))

    def _tick(self, name: str, _number: int) -> Json:
        base = INSTRUMENTS[name] * 10
        moved = self._price[name] + self._random.randrange(-base // 60, base // 60 + 1)
        self._price[name] = min(max(moved, base * 8 // 10), base * 12 // 10)
        return {"price": _tenths(self._price[name])}

    def _fill(self, name: str, number: int) -> Json:
        quantity = self._random.randrange(1, 200)
        side = self._random.choice(("buy", "sell"))
        return {
            "fill_id": f"f{number}",
            "side": side,
            "quantity": f"{quantity // 1000}.{quantity % 1000:03}",
            "price": _tenths(self._price[name]),
        }

    def _funding(self, _name: str, number: int) -> Json:
        return {"funding_id": f"u{number}", "rate": self._random.choice(("0.0001", "-0.0001"))}

    def _deposit(self, _name: str, number: int) -> Json:
        return {"transfer_id": f"d{number}", "asset": "USDT", "amount": str(self._random.randrange(1, 500))}

    _withdrawal = _deposit

    def _add_margin(self, name: str, number: int) -> Json:
        return {"command_id": f"c{number}", "instrument": name, "amount": str(self._random.randrange(1, 100))}

    _remove_margin = _add_margin

    def _set_leverage(self, name: str, number: int) -> Json:
        return {"command_id": f"c{number}", "instrument": name, "leverage": str(self._random.randrange(5, 60))}

    def _stamped(self, event: Json) -> Json:
        time_us = self._now() if self._now else 1_000 * (PREAMBLE_MS + next(self._count))
        return {**event, "time_us": time_us}

    @staticmethod
    def _timestamp_ms(event: Json) -> int:
        return int(event["time_us"]) // 1_000


def account(number: int) -> str:
    """The name of an account."""
    return f"account-{number:02}"


def wall_us() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000


def _tenths(price: int) -> str:
    return f"{price // 10}.{price % 10}"


def publish(topics: Topics, inputs: Sequence[Input]) -> None:
    """Put inputs on their topics, in order, and return once all are acknowledged."""
    producer = new_producer(topics)
    try:
        for future in [send(producer, topics, each) for each in inputs]:
            future.get(60)
    finally:
        producer.close()


def new_producer(topics: Topics) -> KafkaProducer:
    """A producer that waits for every replica and retries without repeating."""
    return KafkaProducer(
        bootstrap_servers=topics.bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        request_timeout_ms=10_000,
        delivery_timeout_ms=120_000,
    )


def send(producer: KafkaProducer, topics: Topics, each: Input) -> Any:
    """Send one input; the result is a future."""
    return producer.send(
        topics.name(each.topic),
        key=each.key,
        value=each.value,
        partition=each.partition,
        timestamp_ms=each.timestamp_ms,
        headers=list(each.headers),
    )


class LivePublisher:
    """Publishes a market at a rate until stopped, in a thread: a desk that does not care what breaks.

    `acknowledged` counts the inputs that the broker has: no fewer may be on the chain.
    """

    def __init__(self, topics: Topics, market: Market, rate: int) -> None:
        self.acknowledged = 0
        self._topics = topics
        self._market = market
        self._rate = rate
        self._failures: list[BaseException] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        publish(self._topics, list(self._market.records(self._market.preamble())))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(180)
        assert not self._thread.is_alive(), "the publisher could not deliver"
        assert not self._failures, self._failures

    def _run(self) -> None:
        producer = new_producer(self._topics)
        waiting = []
        try:
            began, sent = time.monotonic(), 0
            while not self._stop.is_set():
                due = int((time.monotonic() - began) * self._rate)
                records = self._market.records(self._market.event() for _ in range(due - sent))
                waiting += [send(producer, self._topics, each) for each in records]
                sent = max(sent, due)
                self._stop.wait(0.01)
            for future in waiting:
                future.get(120)
            self.acknowledged = len(waiting)
        except KafkaError as failure:
            self._failures.append(failure)
        finally:
            producer.close()
