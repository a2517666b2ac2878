"""The course of a live frame, part by part: inputs decoded and folded, views drawn, headers made, the frame encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from benchmarks.figures import Figure, Scale, Target
from benchmarks.folding import FRAME_INPUTS, Engine
from benchmarks.inputs import FIRST_US, Inputs
from benchmarks.timing import Samples, Span
from ringfence.chain import ROOT
from ringfence.replica import FrameOutcomes, Replica
from ringfence_schemas.frames import FrameInput, Settings, SourceRange, content_hash
from ringfence_schemas.reading import decode_input
from ringfence_schemas.topics import INPUT_TOPIC, INPUT_TOPICS
from ringfence_streams.cli.garbage import tune_garbage_collection
from ringfence_streams.envelope import headers_of
from ringfence_streams.folding import make_entry
from ringfence_streams.port import Entry, OutcomeRecord

TITLE = "Frames of 1,000 inputs, ticks and fills in equal parts, without reading and writing them"
_SHARD = 0


def measure(scale: Scale, seed: int) -> list[Figure]:
    """Frames of accounts that all have a wallet and a position, beside the same inputs decoded and folded alone."""
    inputs, engine, replica = Inputs(seed), Engine(), Replica(Settings())
    size = min(FRAME_INPUTS, scale.batch)
    for lines in _beginning(inputs, scale.accounts, size):
        engine.prepare(lines)
        _Frame(lines).fold(replica)
    tune_garbage_collection()
    decoding, folding, framing, drawing, heading, encoding, whole = (Samples(size) for _ in range(7))
    views = outcomes = 0
    for _ in range(scale.fills // size):
        lines = list(inputs.mixed(size, scale.accounts, 0.5))
        frame = _Frame(lines)
        decoding.run(partial(_decode, lines))
        folding.run(partial(engine.prepare, lines))
        framing.run(partial(frame.fold, replica))
        drawing.run(partial(_draw, frame.outcomes.records))
        heading.run(partial(_head, frame.outcomes.records))
        encoding.run(frame.entry)
        parts = [samples.spans[-1] for samples in (framing, drawing, heading, encoding)]
        whole.spans.append(Span(*map(sum, zip(*parts, strict=True))))
        views += sum(record.version is not None for record in frame.outcomes.records)
        outcomes += frame.outcomes.count
    runs = len(whole.spans)
    drawing.items, heading.items = views // runs, outcomes // runs
    return [
        Figure("an input decoded", decoding.microseconds(), "us", runs),
        Figure("decoded and folded, outside of a frame", folding.microseconds(), "us", runs),
        Figure("decoded and folded in a frame, with its digests", framing.microseconds(), "us", runs),
        Figure(f"a view drawn, {views / (runs * size):.2f} for each input", drawing.microseconds(), "us", runs),
        Figure("the headers of an outcome", heading.microseconds(), "us", runs),
        Figure("the frame encoded and hashed, for each input", encoding.microseconds(), "us", runs),
        Figure("an input, all of this", whole.microseconds(), "us", runs),
        Figure("the same", whole.microseconds().per_second(), "inputs/s", runs, Target("at least", 100_000)),
    ]


class _Frame:
    """Inputs as an owner packs them, and what folding them gives."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.outcomes = FrameOutcomes([], 0, b"", b"")
        topics = [INPUT_TOPICS.index(INPUT_TOPIC[type(decode_input(line))]) for line in lines]
        self._inputs = [
            FrameInput(topic, at, FIRST_US, line) for at, (topic, line) in enumerate(zip(topics, lines, strict=True))
        ]
        end, last = len(lines), content_hash(lines[-1])
        self._sources = [SourceRange(topic, 0, 0, end, end - 1, last) for topic in INPUT_TOPICS]

    def fold(self, replica: Replica) -> None:
        """Fold the inputs; none may be refused, or what is measured is not what is said."""
        refused = replica.fold.refused
        self.outcomes = replica.fold_inputs(1, 0, self._sources, self._inputs)
        assert replica.fold.refused == refused, "a made-up input was refused"

    def entry(self) -> Entry:
        """The frame as it is committed."""
        return make_entry(ROOT, self.outcomes, kind="batch", inputs=self._inputs, positions=self._sources)


def _beginning(inputs: Inputs, accounts: int, size: int) -> Iterator[list[bytes]]:
    """The market, and for each account a wallet and a position."""
    yield inputs.market()
    for first in range(0, accounts, size):
        some = range(first, min(first + size, accounts))
        yield [inputs.deposit(account) for account in some]
        yield [inputs.opening(account) for account in some]


def _decode(lines: Sequence[bytes]) -> None:
    for line in lines:
        decode_input(line)


def _draw(records: Sequence[OutcomeRecord]) -> None:
    for record in records:
        record.value  # noqa: B018 -- a view is drawn when it is looked at


def _head(records: Sequence[OutcomeRecord]) -> None:
    for record in records:
        headers_of(_SHARD, record)
