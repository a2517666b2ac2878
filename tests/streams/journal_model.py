"""An explicit-state model of the journal protocol: every interleaving of a few writers, a network and their faults.

The model knows frames, not bytes: one journal, two topics of decisions X and Y, one compacted topic of views V.
A state is a value; `successors` yields every step that can happen next.  What must hold, and the search for a state in
which it does not, are in journal_search.py.

The network: each producer session has one queue per target.  The front of a queue may arrive at any moment, also after
its session died; what a dead session sent may be lost instead.  A journal append may arrive twice.  An acknowledgement
may be lost.  A paused writer is one that takes no step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

X, Y, V = 0, 1, 2
OUTPUTS = "XYV"
JOURNAL = -1


@dataclass(frozen=True)
class Rules:
    """The rules that can be left out, one at a time; each names the hole that its absence opens."""

    epoch_of_head: bool = True  # R1: an epoch is compared with the accepted head's, not with the highest ever seen
    density: bool = True  # W4, W5: an acknowledgement beyond the expected offset obliges to read what lies between
    publish_when_committed: bool = True  # P2: outcomes follow the commit
    snapshot_when_settled: bool = True  # W2: a snapshot waits until no frame is in flight
    snapshot_when_published: bool = True  # P5: ... and until every outcome is acknowledged
    tail_per_output: bool = True  # V4: the last number is found for every output separately
    views_from_last: bool = True  # V5: views of the last version found are published again
    mend_views: bool = True  # P4: keys that a zombie overwrote are published again
    subscriber_per_topic: bool = True  # C1: a subscriber remembers its last number per topic


@dataclass(frozen=True)
class Bounds:
    """How much of everything a search contains."""

    writers: int = 2
    inputs: int = 2
    batches: tuple[int, ...] = (1, 2)
    in_flight: int = 2
    starts: int = 2
    crashes: int = 0
    lost: int = 0
    repeats: int = 0
    snapshots: int = 0
    truncations: int = 0
    lag: int = 0
    views: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """A frame with everything before it.  One object for each content: being the same stands for equal hashes."""

    epoch: int
    seq: int
    prev: Frame | None
    first: int
    end: int
    session: int


@cache
def make_frame(epoch: int, seq: int, prev: Frame | None, first: int, end: int, session: int) -> Frame:
    """The one frame of this content; only epoch frames name their session."""
    return Frame(epoch, seq, prev, first, end, session)


ROOT = make_frame(0, 0, None, 0, 0, 0)


class Outcome(NamedTuple):
    """A decision (its number) or a view (its version and key) that a frame gave."""

    place: int
    key: int
    seq: int


class Writer(NamedTuple):
    """One process."""

    mode: str = "down"  # down, claiming, owning
    session: int = 0
    base: Frame = ROOT  # the snapshot it started from
    working: Frame = ROOT
    committed: Frame = ROOT
    expected: int = 0
    highest: int = 0  # the highest epoch it saw anywhere
    in_flight: tuple[Frame, ...] = ()
    answers: tuple[tuple[Frame, int | None], ...] = ()


class Budget(NamedTuple):
    """Faults that may still happen."""

    starts: int
    crashes: int
    lost: int
    repeats: int
    snapshots: int
    truncations: int


class State(NamedTuple):
    """Everything there is."""

    journal: tuple[Frame, ...]
    outputs: tuple[tuple[Outcome, ...], ...]
    writers: tuple[Writer, ...]
    queues: tuple[tuple[int, int, tuple[Frame | Outcome, ...]], ...]  # (session, target, records), sorted
    snapshot: tuple[Frame, int, int] | None  # head, next offset, highest epoch
    budget: Budget
    sessions: int


DOWN = Writer()
Step = tuple[str, State]


def initial(bounds: Bounds) -> State:
    """Nothing has happened."""
    budget = Budget(bounds.starts, bounds.crashes, bounds.lost, bounds.repeats, bounds.snapshots, bounds.truncations)
    return State((), ((),) * (3 if bounds.views else 2), (DOWN,) * bounds.writers, (), None, budget, 0)


# ------------------------------------------------------------------------------------------------ what a frame gives


def topic_of(number: int) -> int:
    """Inputs decide X, Y, X, Y, ...: two inputs of one frame are on two topics."""
    return number % 2


@cache
def outcomes(frame: Frame, output: int) -> tuple[Outcome, ...]:
    """What a frame gives to one output: numbers are dense per topic, each input touches the view of one key."""
    inputs = range(frame.first, frame.end)
    if output == V:
        return tuple(Outcome(frame.seq, key, frame.seq) for key in sorted({number // 2 % 2 for number in inputs}))
    return tuple(Outcome(number // 2 + 1, 0, frame.seq) for number in inputs if topic_of(number) == output)


def frames_after(base: Frame, head: Frame) -> list[Frame]:
    """The frames after `base` up to `head`, oldest first."""
    found = []
    frame: Frame | None = head
    while frame is not None and frame is not base and frame.seq > base.seq:
        found.append(frame)
        frame = frame.prev
    return found[::-1]


# ------------------------------------------------------------------------------------------------ the reader


def accepts(rules: Rules, head: Frame, highest: int, frame: Frame) -> bool:
    """R1."""
    if frame.seq != head.seq + 1 or frame.prev is not head:
        return False
    return rules.epoch_of_head or frame.epoch >= highest


def read(
    rules: Rules, records: tuple[Frame, ...], head: Frame = ROOT, highest: int = 0
) -> tuple[Frame, int, list[Frame]]:
    """Read records from a head on: the head after them, the highest epoch seen, the accepted frames."""
    accepted = []
    for frame in records:
        if accepts(rules, head, highest, frame):
            head = frame
            accepted.append(frame)
        highest = max(highest, frame.epoch)
    return head, highest, accepted


# ------------------------------------------------------------------------------------------------ small changes


def with_writer(state: State, index: int, writer: Writer) -> State:
    """The state with one writer changed."""
    return state._replace(writers=(*state.writers[:index], writer, *state.writers[index + 1 :]))


def spend(state: State, fault: str) -> State:
    """One fault fewer may happen."""
    return state._replace(budget=state.budget._replace(**{fault: getattr(state.budget, fault) - 1}))


def queue_of(state: State, session: int, target: int) -> tuple[Frame | Outcome, ...]:
    """What a session has on its way to a target."""
    return next((records for s, t, records in state.queues if (s, t) == (session, target)), ())


def with_queue(state: State, session: int, target: int, records: tuple[Frame | Outcome, ...]) -> State:
    """The state with one queue changed."""
    others = [queue for queue in state.queues if queue[:2] != (session, target)]
    if records:
        others.append((session, target, records))
        others.sort(key=lambda queue: queue[:2])
    return state._replace(queues=tuple(others))


def send(state: State, session: int, target: int, records: tuple[Frame | Outcome, ...]) -> State:
    """Put records on their way."""
    return with_queue(state, session, target, queue_of(state, session, target) + records) if records else state


def publish(state: State, session: int, frame: Frame) -> State:
    """P1, P2: send a frame's outcomes."""
    for output in range(len(state.outputs)):
        state = send(state, session, output, outcomes(frame, output))
    return state


# ------------------------------------------------------------------------------------------------ the writer


def claim(rules: Rules, state: State, index: int, end: int) -> State:
    """V1, V2, then T2 up to the append: recover from the records before `end`, send an epoch frame."""
    base, start, highest = state.snapshot or (ROOT, 0, 0)
    head, highest, _ = read(rules, state.journal[start:end], base, highest)
    session = state.sessions + 1
    epoch = (head.epoch if rules.epoch_of_head else max(head.epoch, highest)) + 1
    frame = make_frame(epoch, head.seq + 1, head, head.end, head.end, session)
    writer = Writer("claiming", session, base, frame, head, max(start, end), highest, (frame,))
    return send(with_writer(state._replace(sessions=session), index, writer), session, JOURNAL, (frame,))


def extend(rules: Rules, state: State, index: int, inputs: int) -> State:
    """W3: fold a batch and append its frame."""
    writer = state.writers[index]
    head = writer.working
    frame = make_frame(head.epoch, head.seq + 1, head, head.end, head.end + inputs, 0)
    state = with_writer(state, index, writer._replace(working=frame, in_flight=(*writer.in_flight, frame)))
    state = send(state, writer.session, JOURNAL, (frame,))
    return state if rules.publish_when_committed else publish(state, writer.session, frame)


def answer(rules: Rules, state: State, index: int) -> State:
    """W4-W7: look at the acknowledgement of the oldest frame in flight."""
    writer = state.writers[index]
    (frame, offset), rest = writer.answers[0], writer.answers[1:]
    if frame is not writer.in_flight[0]:  # the second arrival of a frame that is settled
        return with_writer(state, index, writer._replace(answers=rest))
    if offset is None or offset < writer.expected:  # W6
        return with_writer(state, index, DOWN)
    if offset > writer.expected and rules.density:  # W5, T2
        between = state.journal[writer.expected : offset + 1]
        if read(rules, between, writer.committed, writer.highest)[2] != [frame]:
            return with_writer(state, index, DOWN)
    writer = writer._replace(
        mode="owning", committed=frame, expected=offset + 1, in_flight=writer.in_flight[1:], answers=rest
    )
    claimed = frame.first == frame.end
    state = with_writer(state, index, writer)
    if claimed:
        return republish(rules, state, index)
    return publish(state, writer.session, frame) if rules.publish_when_committed else state


def republish(rules: Rules, state: State, index: int) -> State:
    """V4, V5."""
    writer = state.writers[index]
    last = [max((outcome.place for outcome in output), default=0) for output in state.outputs]
    if not rules.tail_per_output:
        last[X] = last[Y] = max(last[X], last[Y])
    for output in range(len(state.outputs)):
        again = output == V and rules.views_from_last
        missing = tuple(
            outcome
            for frame in frames_after(writer.base, writer.committed)
            for outcome in outcomes(frame, output)
            if outcome.place > last[output] or (again and outcome.place == last[output])
        )
        state = send(state, writer.session, output, missing)
    return state


def snapshot(rules: Rules, state: State, index: int) -> State | None:
    """W2, P5: the state with a snapshot of this writer, when it may take one."""
    writer = state.writers[index]
    frame = writer.committed if rules.snapshot_when_settled else writer.working
    if writer.mode != "owning" or frame.end == 0 or (state.snapshot and state.snapshot[0] == frame):
        return None
    if rules.snapshot_when_settled and writer.in_flight:
        return None
    if rules.snapshot_when_published and any(queue_of(state, writer.session, output) for output in (X, Y, V)):
        return None
    return spend(state._replace(snapshot=(frame, writer.expected, writer.highest)), "snapshots")


# ------------------------------------------------------------------------------------------------ the network


def arrive(state: State, session: int, target: int, *, again: bool = False, lost: bool = False) -> State:
    """The front of a queue reaches its target; `again`: it will once more; `lost`: its acknowledgement will not."""
    queue = queue_of(state, session, target)
    record = queue[0]
    owner = next((i for i, w in enumerate(state.writers) if w.session == session and w.mode != "down"), None)
    if not again:
        state = with_queue(state, session, target, queue[1:])
    if target != JOURNAL:
        assert isinstance(record, Outcome)
        output = (*state.outputs[target], record)
        state = state._replace(outputs=(*state.outputs[:target], output, *state.outputs[target + 1 :]))
        return with_writer(state, owner, DOWN) if lost and owner is not None else state  # P3
    assert isinstance(record, Frame)
    offset = len(state.journal)
    state = state._replace(journal=(*state.journal, record))
    if again or owner is None:
        return state
    writer = state.writers[owner]
    return with_writer(state, owner, writer._replace(answers=(*writer.answers, (record, None if lost else offset))))


def successors(rules: Rules, bounds: Bounds, state: State) -> Iterator[Step]:
    """Every step that can happen next, with a name."""
    yield from _writer_steps(rules, bounds, state)
    alive = {writer.session for writer in state.writers if writer.mode != "down"}
    for session, target, queue in state.queues:
        name = f"session {session} to {'journal' if target == JOURNAL else OUTPUTS[target]}"
        yield f"{name}: {show(queue[0])} arrives", arrive(state, session, target)
        if session in alive and state.budget.lost:
            lost = arrive(state, session, target, lost=True)
            yield f"{name}: {show(queue[0])} arrives, acknowledgement lost", spend(lost, "lost")
        if target == JOURNAL and state.budget.repeats:
            yield (
                f"{name}: {show(queue[0])} arrives, and will again",
                spend(arrive(state, session, target, again=True), "repeats"),
            )
        if session not in alive:
            yield f"{name}: lost with its session", with_queue(state, session, target, ())
    if state.budget.truncations and state.journal:
        yield "journal loses its last record", spend(state._replace(journal=state.journal[:-1]), "truncations")


def _writer_steps(rules: Rules, bounds: Bounds, state: State) -> Iterator[Step]:
    started = False
    for index, writer in enumerate(state.writers):
        if writer.mode == "down":
            if state.budget.starts and not started:  # writers that are down are alike
                started = True
                earliest = max(len(state.journal) - bounds.lag, state.snapshot[1] if state.snapshot else 0)
                for end in range(min(earliest, len(state.journal)), len(state.journal) + 1):
                    yield f"writer {index} reads to {end} and claims", spend(claim(rules, state, index, end), "starts")
            continue
        if writer.answers:
            yield (
                f"writer {index} sees {show(writer.answers[0][0])} @ {writer.answers[0][1]}",
                answer(rules, state, index),
            )
        if writer.mode == "owning" and len(writer.in_flight) < bounds.in_flight:
            for inputs in bounds.batches:
                if writer.working.end + inputs <= bounds.inputs:
                    yield f"writer {index} folds {inputs}", extend(rules, state, index, inputs)
        if state.budget.crashes:
            yield f"writer {index} crashes", spend(with_writer(state, index, DOWN), "crashes")
        if state.budget.snapshots and (taken := snapshot(rules, state, index)):
            yield f"writer {index} takes a snapshot", taken


def show(record: Frame | Outcome) -> str:
    """A short name of a record."""
    if isinstance(record, Outcome):
        return f"{record.place} of seq {record.seq}"
    inputs = (
        f", session {record.session}" if record.first == record.end else f", inputs {record.first}-{record.end - 1}"
    )
    return f"frame(epoch {record.epoch}, seq {record.seq}{inputs})"
