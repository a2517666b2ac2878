"""Snapshots: a state as bytes and back.  `snapshot(restore(data)) == data`, and both states have the same digest.

The bytes are JSON text: integers are exact at any size, and the order is that of the state, so equal histories give
equal bytes.  What can be derived is left out: the trigger index, the timers, the terms of the digest.
"""

from __future__ import annotations

import json
from heapq import heapify
from typing import Any, Final, cast

from ringfence.digest import restate
from ringfence.fold import Fold
from ringfence.liquidation import DEADLINE_TIMER, RELEASE_TIMER
from ringfence.mark import choose_way, watch
from ringfence.mark_rules import Word
from ringfence.rules import Rules, build_rules
from ringfence.shard_state import State
from ringfence.state import Account, Asset, Book, Bucket, Guard, Liquidation, Quarantine, Rise, Sampling, Shown
from ringfence_schemas.frames import Settings
from ringfence_schemas.inputs import Instrument, encode_input
from ringfence_schemas.reading import decode_input

VERSION: Final = 1

_ASSET: Final = ("name", "decimals", "stated_us", "external", "fees", "rounding")
_BOOK: Final = (
    "mark",
    "funding_index",
    "funding_payment",
    "market_time_us",
    "changed",
    "settled",
    "fund",
    "trading",
    "funding",
    "ordered",
    "ordered_from_us",
    "release_us",
)
_GUARD: Final = ("stale", "moment_us", "reference")
_BUCKET: Final = (
    "size",
    "cash",
    "entry_price",
    "realised",
    "funding_paid",
    "put_in",
    "taken_out",
    "returned",
    "drawn",
    "level",
    "cases",
    "liquidations",
    "leverage",
    "engine_changed",
    "posted",
)
_LIQUIDATION: Final = ("number", "step", "ordered", "filled", "deadline_us", "fees", "waiting", "whole", "passed_over")
_SHOWN: Final = Shown.__slots__
_SAMPLING: Final = ("price", "variance", "boundary_us", "rises", "fall")
_COUNTS: Final = ("inputs", "applied", "already_applied", "refused")


class SnapshotUnreadable(ValueError):
    """The bytes are no snapshot of a version this engine reads."""


def snapshot(fold: Fold) -> bytes:
    """Return the state of a fold as bytes."""
    state = fold.state
    content = {
        "version": VERSION,
        "time_us": state.time_us,
        "counts": _values(fold, _COUNTS),
        "numbers": list(state.numbers.items()),
        "accounts": [(account.name, account.sequence, account.hash.hex()) for account in state.accounts.values()],
        "assets": [(_values(asset, _ASSET), list(asset.wallets.items())) for asset in state.assets.values()],
        "books": [_book_content(book) for book in state.books.values()],
        "identities": [(tag.hex(), content.hex(), time_us) for tag, content, time_us in state.identities.records()],
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _values(thing: object, fields: tuple[str, ...]) -> list[Any]:
    return [getattr(thing, field) for field in fields]


def _book_content(book: Book) -> dict[str, Any]:
    content = {
        "events": [encode_input(event).decode() for event in (book.rules.event, *book.pending)],
        "versions": [(version, accepted.hex()) for version, accepted in book.versions.items()],
        "values": _values(book, _BOOK),
        "sources": [(source, *last) for source, last in book.sources.items()],
        "volatility": book.sampling and (book.rules.volatility_rate, *_values(book.sampling, _SAMPLING)),
        "buckets": [_bucket_content(bucket) for bucket in book.buckets.values()],
    }
    if book.guard is not None or book.quarantines:
        content["mark"] = [book.quarantines, book.guard and _guard_content(book.guard)]
    return content


def _bucket_content(bucket: Bucket) -> list[Any]:
    run, shown = bucket.liquidation, bucket.shown
    content = [bucket.account.name, _values(bucket, _BUCKET), run and _values(run, _LIQUIDATION)]
    return content if shown is None else [*content, _values(shown, _SHOWN)]


def _guard_content(guard: Guard) -> list[Any]:
    held = guard.quarantine
    waiting = held and [held.source, held.word, held.ticks, held.last_us, list(held.held.items())]
    return [_values(guard, _GUARD), list(guard.words.items()), waiting]


def restore(data: bytes, settings: Settings) -> Fold:
    """Return the fold of a snapshot, to go on under these settings.

    Raises `SnapshotUnreadable` when the bytes are not a snapshot of this version.
    """
    try:
        content = json.loads(data)
        version = content["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotUnreadable(f"not a snapshot: {error}") from error
    if version != VERSION:
        raise SnapshotUnreadable(f"snapshot version {version}, this engine reads {VERSION}")
    try:
        return _restored(content, settings)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SnapshotUnreadable(f"not a whole snapshot: {type(error).__name__} {error}") from error


def _restored(content: dict[str, Any], settings: Settings) -> Fold:
    fold = Fold(settings)
    _assign(fold, _COUNTS, content["counts"])
    state = fold.state
    state.time_us = content["time_us"]
    state.horizon_us = state.time_us - settings.id_window_us
    state.numbers = dict(content["numbers"])
    for name, sequence, chain in content["accounts"]:
        account = state.accounts[name] = Account(name)
        account.sequence, account.hash = sequence, bytes.fromhex(chain)
        state.account_terms += int.from_bytes(account.hash, "little")
    for values, wallets in content["assets"]:
        asset = Asset("", 0)
        _assign(asset, _ASSET, values)
        asset.wallets = dict(wallets)
        state.assets[asset.name] = asset
    for tag, known, time_us in content["identities"]:
        place = state.identities.place_of(bytes.fromhex(tag))
        state.identities.add(place, bytes.fromhex(tag), bytes.fromhex(known), time_us)
    for book in content["books"]:
        _restore_book(state, book)
    heapify(state.timers)
    return fold


def _assign(thing: object, fields: tuple[str, ...], values: list[Any]) -> None:
    for field, value in zip(fields, values, strict=True):
        setattr(thing, field, value)


def _restore_book(state: State, content: dict[str, Any]) -> None:
    event, *pending = (cast("Instrument", decode_input(text.encode())) for text in content["events"])
    asset = state.assets[event.settle_asset]
    rules, sampling = _restored_volatility(build_rules(event, asset.decimals), content.get("volatility"))
    book = state.books[event.instrument] = Book(rules, asset)
    book.pending, book.sampling = pending, sampling
    book.schedule()
    book.versions = {version: bytes.fromhex(accepted) for version, accepted in content["versions"]}
    _assign(book, _BOOK, content["values"])
    if book.release_us is not None:
        state.timers.append((book.release_us, RELEASE_TIMER, book.name, "", 0, 0))
    book.sources = {source: (sequence, last) for source, sequence, last in content["sources"]}
    if "mark" in content:
        book.quarantines, guarded = content["mark"]
        if guarded:
            _restore_guard(state, book, guarded)
    choose_way(book)
    for account, values, running, *shown in content["buckets"]:
        bucket = book.buckets[account] = Bucket(state.accounts[account], book)
        _assign(bucket, _BUCKET, values)
        if shown:
            bucket.shown = Shown(*shown[0])
        if running:
            _restore_liquidation(state, bucket, running)
        elif bucket.size:
            book.index.place(bucket)
        restate(state, bucket)


def _restore_guard(state: State, book: Book, content: list[Any]) -> None:
    guard = book.guard = Guard()
    values, words, waiting = content
    _assign(guard, _GUARD, values)
    guard.words = {source: Word(*word) for source, word in words}
    if waiting:
        source, word, ticks, last_us, held = waiting
        quarantine = guard.quarantine = Quarantine(source, Word(*word))
        quarantine.ticks, quarantine.last_us = ticks, last_us
        quarantine.held = {name: Word(*said) for name, said in held}
    watch(state, book)


def _restored_volatility(rules: Rules, values: list[Any] | None) -> tuple[Rules, Sampling | None]:
    """Return the rules at the rate that was in force, and what was sampled."""
    if values is None:
        return rules, None
    rate, sampling = values[0], Sampling()
    _assign(sampling, _SAMPLING, values[1:])
    sampling.rises = [Rise(*rise) for rise in sampling.rises]
    sampling.fall = sampling.fall and (sampling.fall[0], sampling.fall[1])
    return rules.at_rate(rate), sampling


def _restore_liquidation(state: State, bucket: Bucket, values: list[Any]) -> None:
    run = bucket.liquidation = Liquidation(values[0])
    _assign(run, _LIQUIDATION, values)
    if run.waiting:
        bucket.book.waiting[bucket] = None
        return
    state.timers.append((run.deadline_us, DEADLINE_TIMER, bucket.book.name, bucket.account.name, run.number, run.step))
