"""The digest of a state: sixteen bytes that two engines compare instead of their memories.

It is the sum modulo 2^128 of one hash per remembered thing, so the order of things does not matter and touching one
costs one hash:

    account     its hash chain, which commits to everything its own inputs left behind
    bucket      an overlay, only where the engine itself changed it since (a call, a liquidation, a settlement)
    identity    the content hash of every remembered id
    instrument  parameters, market, counter-entries
    asset       decimals and totals
    counters    the dense numbers of decisions, and engine time
"""

from __future__ import annotations

from ringfence.hashing import MODULUS, digest_of, term_of
from ringfence.shard_state import State
from ringfence.state import Account, Asset, Book, Bucket
from ringfence_schemas.content import content_of


def link(state: State, account: Account, content: bytes, bucket: Bucket | None, asset: Asset) -> None:
    """Advance the account's chain by one applied input: H(previous hash, content, the wallet and the bucket it
    touched).
    """
    text = f"{asset.name}|{asset.wallets.get(account.name, 0):x}"
    if bucket is not None:
        text = f"{text}|{bucket_text(bucket)}"
    previous = account.hash
    account.hash = digest_of(previous + content + text.encode())
    account.sequence += 1
    state.account_terms += int.from_bytes(account.hash, "little") - int.from_bytes(previous, "little")


def bucket_text(bucket: Bucket) -> str:
    """The bucket without anything that depends on the mark."""
    return (
        f"{bucket.book.name}|{bucket.size:x}|{bucket.cash:x}|{bucket.entry_price:x}|{bucket.realised:x}|{bucket.funding_paid:x}|{bucket.put_in:x}"
        f"|{bucket.taken_out:x}|{bucket.cases}|{bucket.liquidations}|{bucket.leverage}"
    )


def restate(state: State, bucket: Bucket) -> None:
    """Bring the overlay of a bucket up to date."""
    new = 0
    if bucket.engine_changed or bucket.level or bucket.liquidation:
        new = _overlay(bucket)
    state.overlay_terms += new - bucket.overlay
    bucket.overlay = new


def _overlay(bucket: Bucket) -> int:
    run, asset = bucket.liquidation, bucket.book.asset
    running = (
        "" if run is None else f"{run.number}|{run.step}|{run.ordered:x}|{run.filled:x}|{run.deadline_us}|{run.fees}"
    )
    wallet = asset.wallets.get(bucket.account.name, 0)
    return term_of(f"bucket|{bucket.account.name}|{bucket_text(bucket)}|{bucket.level}|{wallet:x}|{running}".encode())


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
    market = f"{book.mark}|{book.funding_index:x}|{book.market_time_us}|{sorted(book.sources.items())}|{book.changed}|{book.settled}"
    totals = f"{book.fund}|{book.trading}|{book.funding}"
    versions = b"".join(digest_of(content_of(event)) for event in (book.rules.event, *book.pending))
    return term_of(f"instrument|{book.name}|{market}|{totals}|".encode() + versions)


def _asset_term(asset: Asset) -> int:
    return term_of(
        f"asset|{asset.name}|{asset.decimals}|{asset.stated_us}|{asset.external}|{asset.fees}|{asset.rounding}".encode()
    )
