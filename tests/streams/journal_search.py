"""What must hold in every state of the journal model, and the search through all of them.

`violation` says what is wrong in a state, `unfinished` what is missing where nothing more happens.  `explore` visits
every reachable state, shortest runs first.  `HOLES` and `COMPLETE` are the worlds that the tests search.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from tests.streams.journal_model import (
    OUTPUTS,
    ROOT,
    Bounds,
    Frame,
    Outcome,
    Rules,
    State,
    V,
    X,
    Y,
    answer,
    arrive,
    claim,
    extend,
    initial,
    outcomes,
    read,
    show,
    successors,
)


@lru_cache(maxsize=1 << 16)
def journal_violation(rules: Rules, journal: tuple[Frame, ...]) -> tuple[str | None, tuple[Frame, ...]]:
    """What is wrong with the journal alone, and its chain."""
    head, _, chain = read(rules, journal)
    reached = 0
    for frame in chain:
        if frame.first != reached:
            return f"inputs from {reached} on are not on the chain exactly once", tuple(chain)
        reached = frame.end
    place, highest = ROOT, 0
    for offset, frame in enumerate(journal):  # a reader may have stopped anywhere and go on from its head
        place, highest, _ = read(rules, (frame,), place, highest)
        if read(rules, journal[offset + 1 :], place, place.epoch)[0] != head:
            return f"a reader that resumes at offset {offset + 1} follows another chain", tuple(chain)
    return None, tuple(chain)


@lru_cache(maxsize=1 << 16)
def output_violation(chain: tuple[Frame, ...], output: int, records: tuple[Outcome, ...]) -> str | None:
    """What is wrong with one topic of decisions, as a subscriber sees it (C1, C3)."""
    given = {outcome.place: outcome for frame in chain for outcome in outcomes(frame, output)}
    last = 0
    for record in records:
        if given.get(record.place) != record:
            return f"{OUTPUTS[output]}: {show(record)} is not what the chain gives"
        if record.place > last + 1:
            return f"{OUTPUTS[output]}: {record.place} follows {last}, a subscriber sees a gap"
        last = max(last, record.place)
    return None


def violation(rules: Rules, state: State) -> str | None:
    """What is wrong in a state, or None."""
    wrong, chain = journal_violation(rules, state.journal)
    if wrong:
        return wrong
    for index, writer in enumerate(state.writers):
        if writer.mode != "down" and writer.committed != ROOT and writer.committed not in chain:
            return f"writer {index} takes {show(writer.committed)} for committed, it is not on the chain"
    if state.snapshot and (state.snapshot[0] not in chain or state.snapshot[1] > len(state.journal)):
        return "the snapshot is not on the chain"
    for output in (X, Y):
        if wrong := output_violation(chain, output, state.outputs[output]):
            return wrong
    return None if rules.subscriber_per_topic else _dropped_by_one_counter(state)


def _dropped_by_one_counter(state: State) -> str | None:
    """What a subscriber of both topics loses that remembers one number for the shard (C1 left out)."""
    for output in (X, Y):
        other = max((outcome.place for outcome in state.outputs[1 - output]), default=0)
        for record in state.outputs[output]:
            if record.place <= other:
                return f"a subscriber that read {other} on {OUTPUTS[1 - output]} first drops {record.place}"
    return None


def unfinished(rules: Rules, bounds: Bounds, state: State) -> str | None:
    """What is missing where nothing more happens; a new owner without any fault gets the chance to do it."""
    if all(writer.mode == "down" for writer in state.writers):
        state = recover(rules, bounds, state)
    _, _, chain = read(rules, state.journal)
    if not chain or chain[-1].end != bounds.inputs:
        return "inputs are left over"
    for output in (X, Y):
        seen = {outcome.place for outcome in state.outputs[output]}
        missing = [o.place for frame in chain for o in outcomes(frame, output) if o.place not in seen]
        if missing:
            return f"{OUTPUTS[output]}: {missing} were never published"
    if not bounds.views:
        return None
    newest = {outcome.key: outcome.place for frame in chain for outcome in outcomes(frame, V)}
    stands: dict[int, int] = {}
    for outcome in state.outputs[V]:
        best = max(stands.get(outcome.key, 0), outcome.place)
        stands[outcome.key] = best if rules.mend_views else outcome.place  # P4
    if stands != newest:
        return f"the views end at versions {stands}, the chain says {newest}"
    return None


def recover(rules: Rules, bounds: Bounds, state: State) -> State:
    """One owner starts and meets no fault."""
    state = claim(rules, state, 0, len(state.journal))
    session = state.writers[0].session
    while state.writers[0].mode != "down":
        writer = state.writers[0]
        target = next((t for s, t, _ in state.queues if s == session), None)
        if target is not None:
            state = arrive(state, session, target)
        elif writer.answers:
            state = answer(rules, state, 0)
        elif writer.working.end < bounds.inputs:
            state = extend(rules, state, 0, 1)
        else:
            break
    return state


# ------------------------------------------------------------------------------------------------ the search


@dataclass(frozen=True)
class Verdict:
    """What a search found."""

    states: int
    wrong: str | None = None
    run: tuple[str, ...] = ()


def explore(rules: Rules, bounds: Bounds, *, limit: int = 1_000_000) -> Verdict:
    """Visit every reachable state; the first one that is wrong is returned with a shortest run to it."""
    start = initial(bounds)
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        ended = True
        for name, following in successors(rules, bounds, state):
            ended = False
            if following in came_from:
                continue
            came_from[following] = (state, name)
            if wrong := violation(rules, following):
                return Verdict(len(came_from), wrong, _run(came_from, following))
            waiting.append(following)
        if ended and (wrong := unfinished(rules, bounds, state)):
            return Verdict(len(came_from), wrong, _run(came_from, state))
        assert len(came_from) <= limit, "the search is larger than intended"
    return Verdict(len(came_from))


def _run(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    steps = []
    while (step := came_from[state]) is not None:
        state, name = step
        steps.append(name)
    return tuple(reversed(steps))


HOLES: dict[str, tuple[Rules, Bounds]] = {
    "R1": (Rules(epoch_of_head=False), Bounds(batches=(1,))),
    "W2": (
        Rules(snapshot_when_settled=False, snapshot_when_published=False),
        Bounds(inputs=1, batches=(1,), snapshots=1, crashes=1),
    ),
    "W5": (Rules(density=False), Bounds(inputs=1, batches=(1,))),
    "P2": (Rules(publish_when_committed=False), Bounds()),
    "P4": (Rules(mend_views=False), Bounds(batches=(1,), in_flight=1, crashes=1, views=True)),
    "P5": (Rules(snapshot_when_published=False), Bounds(inputs=1, batches=(1,), snapshots=1, crashes=1)),
    "V4": (Rules(tail_per_output=False), Bounds(inputs=2, batches=(2,), crashes=1)),
    "V5": (Rules(views_from_last=False), Bounds(inputs=3, batches=(3,), in_flight=1, crashes=1, views=True)),
    "C1": (Rules(subscriber_per_topic=False), Bounds(starts=1)),
}
"""Each known hole: the rule that closes it left out, and the smallest world in which that shows."""

COMPLETE: dict[str, Bounds] = {
    "three claims": Bounds(batches=(1,), in_flight=1, starts=3, crashes=1, lag=1),
    "every fault of the journal": Bounds(crashes=1, lost=1, repeats=1, snapshots=1, lag=1),
    "views": Bounds(inputs=3, batches=(1,), views=True),
    "views, snapshots and failing outputs": Bounds(
        batches=(1,), in_flight=1, crashes=1, lost=1, snapshots=1, lag=1, views=True
    ),
}
"""Worlds that are searched completely with all rules in force."""

TRUNCATED = Bounds(inputs=1, batches=(1,), truncations=1)
"""A world outside the guarantee: the log itself loses an acknowledged record."""
