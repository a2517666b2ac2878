"""The digest of a state: sixteen bytes that two engines compare instead of their memories.

It is the sum modulo 2^128 of one hash per remembered thing, so the order of things does not matter and touching one
costs one hash:

    account     its hash chain, which commits to everything its own inputs left behind
    bucket      an overlay, only where the engine itself ever changed it (a call, a liquidation, a settlement, funding
                taken from the wallet)
    identity    the content hash of every remembered id
    instrument  parameters, market, counter-entries
    asset       decimals and totals
    counters    the dense numbers of decisions, and engine time
"""

from __future__ import annotations

from ringfence.hashing import MODULUS, digest_of, term_of
from ringfence.mark_rules import Word
from ringfence.shard_state import State
from ringfence.state import Account, Asset, Book, Bucket


def link(state: State, account: Account, content: bytes, bucket: Bucket | None, asset: Asset) -> None:
    """Advance the account's chain by one applied input.

    H(previous hash, content, wallet, size and cash of the bucket touched): what else a bucket holds follows from the
    inputs that the chain commits to.
    """
    previous, wallet = account.hash, asset.wallets.get(account.name, 0)
    left = b"%x" % wallet if bucket is None else b"%x|%x|%x" % (wallet, bucket.size, bucket.cash)
    account.hash = digest_of(previous + content + left)
    account.sequence += 1
    state.account_terms += int.from_bytes(account.hash, "little") - int.from_bytes(previous, "little")


def bucket_bytes(bucket: Bucket) -> bytes:
    """Everything a bucket holds, its status apart.  What its closings returned, and what funding took, stand for their
    part of the wallet.
    """
    drawn = b"|%x" % bucket.drawn if bucket.drawn else b""
    return b"%a|%x|%x|%x|%x|%x|%x|%x|%x|%d|%d|%a%b" % (
        bucket.book.name,
        bucket.size,
        bucket.cash,
        bucket.entry_price,
        bucket.realised,
        bucket.funding_paid,
        bucket.put_in,
        bucket.taken_out,
        bucket.returned,
        bucket.cases,
        bucket.liquidations,
        bucket.leverage,
        drawn,
    )


def restate(state: State, bucket: Bucket) -> None:
    """Bring the overlay of a bucket up to date: one that the engine ever called, liquidated, settled or gave money from
    the wallet has one.
    """
    touched = bucket.cases or bucket.liquidations or bucket.drawn or bucket.engine_changed
    new = _overlay(bucket) if touched else 0
    state.overlay_terms += new - bucket.overlay
    bucket.overlay = new


def _overlay(bucket: Bucket) -> int:
    run, account = bucket.liquidation, bucket.account.name
    running = None if run is None else (run.number, run.step, run.ordered, run.filled, run.deadline_us, run.fees)
    waits = b"%d|%d|" % (run.passed_over, run.whole) if run is not None and run.waiting else b""
    return term_of(b"bucket|%a|%d|%a|" % (account, bucket.level, running) + waits + bucket_bytes(bucket))


def state_digest(state: State) -> bytes:
    """Return the digest, 16 bytes.  Costs one hash per instrument touched since it was last asked for."""
    total = state.account_terms + state.overlay_terms + state.identities.digest
    for book in state.books.values():
        if book.dirty:
            book.term, book.dirty = _book_term(book), False
        total += book.term
    total += sum(_asset_term(asset) for asset in state.assets.values())
    total += term_of(f"counters|{state.time_us}|{sorted(state.numbers.items())}".encode())
    return (total % MODULUS).to_bytes(16, "little")


def _book_term(book: Book) -> int:
    market = f"{book.mark}|{book.funding_index:x}|{book.market_time_us}|{sorted(book.sources.items())}"
    if book.funding_payment is not None:
        market += f"|{book.funding_payment:x}"
    if book.ordered_from_us is not None:
        market += f"|{book.ordered_from_us}|{book.ordered:x}|{book.release_us}"
    totals = f"{book.changed}|{book.settled}|{book.fund}|{book.trading}|{book.funding}"
    pending = [event.version for event in book.pending]
    versions = b"%d|%a|%a" % (book.rules.version, pending, sorted(book.versions.items()))
    extras = _guard_bytes(book) + _sampled(book)
    return term_of(f"instrument|{book.name}|{market}|{totals}|".encode() + versions + extras)


def _guard_bytes(book: Book) -> bytes:
    """What the mark is made of and what is held back; nothing where the last tick is the mark and always was."""
    guard = book.guard
    if guard is None:
        return b"|%d" % book.quarantines if book.quarantines else b""
    held = guard.quarantine
    waiting = None if held is None else (held.source, *held.word, held.ticks, held.last_us, _words(held.held))
    moment = (guard.stale, guard.moment_us, guard.reference)
    return f"|{book.quarantines}|{moment}|{_words(guard.words)}|{waiting}".encode()


def _words(words: dict[str, Word]) -> list[tuple[str, int, int]]:
    return [(source, *word) for source, word in words.items()]


def _sampled(book: Book) -> bytes:
    """What is known of volatility, and what comes of it; nothing where no requirement follows it."""
    sampling = book.sampling
    if sampling is None:
        return b""
    measured = (sampling.price, sampling.variance, sampling.boundary_us, sampling.fall)
    rises = [tuple(rise) for rise in sampling.rises]
    return f"|volatility|{book.rules.volatility_rate}|{measured}|{rises}".encode()


def _asset_term(asset: Asset) -> int:
    return term_of(
        f"asset|{asset.name}|{asset.decimals}|{asset.stated_us}|{asset.external}|{asset.fees}|{asset.rounding}".encode()
    )
