"""Remembered ids: found exactly while their time is inside the window, however many there are."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.hashing import digest_of
from ringfence.identities import FIRST_BUCKETS, MINUTE_US, NEVER, RECORD, RECORDS_PER_BUCKET, Identities

Records = set[tuple[bytes, bytes, int]]


def tag(number: int) -> bytes:
    """The tag of an id."""
    return digest_of(b"tag %d" % number)


def content(number: int) -> bytes:
    """The hash of some content."""
    return digest_of(b"content %d" % number)


def found(identities: Identities, name: bytes, horizon_us: int) -> bytes | None:
    """What is remembered of an id."""
    return identities.find(identities.place_of(name), name, horizon_us)


def remember(identities: Identities, name: bytes, known: bytes, time_us: int) -> None:
    """Remember an id."""
    identities.add(identities.place_of(name), name, known, time_us)


@pytest.mark.parametrize(("horizon_us", "known"), [(99, True), (100, True), (101, False)])
def test_an_id_is_found_exactly_while_its_time_is_inside_the_window(horizon_us: int, known: bool) -> None:
    """An id of time 100 is found while the window begins at or before 100, although its minute is still kept."""
    identities = Identities()
    remember(identities, tag(1), content(1), 100)
    assert found(identities, tag(1), horizon_us) == (content(1) if known else None)
    assert identities.count == 1


@pytest.mark.parametrize(("early_us", "left"), [(-1, 2), (0, 1), (1, 1)])
def test_whole_minutes_are_forgotten_together(early_us: int, left: int) -> None:
    """A minute goes when the window begins at its end, and not a microsecond earlier; the next one stays."""
    identities = Identities()
    remember(identities, tag(1), content(1), MINUTE_US - 1)
    remember(identities, tag(2), content(2), MINUTE_US)
    assert identities.oldest_us == MINUTE_US
    identities.forget(MINUTE_US + early_us)
    assert identities.count == left
    assert identities.oldest_us == MINUTE_US * (3 - left)


def test_nothing_remembered_leaves_nothing_behind() -> None:
    """When the last minute is forgotten the digest is that of an empty memory."""
    identities = Identities()
    for number in range(50):
        remember(identities, tag(number), content(number), number)
    identities.forget(MINUTE_US)
    assert (identities.count, identities.digest, identities.oldest_us) == (0, 0, NEVER)
    assert list(identities.records()) == []


def test_an_id_used_again_after_it_expired_is_remembered_with_its_new_content() -> None:
    """An expired id may come again in the very minute of its first use: both records are kept until the minute ends,
    only the new one is found, and both are written down.
    """
    identities = Identities()
    remember(identities, tag(1), content(1), 10)
    assert found(identities, tag(1), 20) is None
    remember(identities, tag(1), content(2), 30)
    assert found(identities, tag(1), 20) == content(2)
    assert list(identities.records()) == [(tag(1), content(1), 10), (tag(1), content(2), 30)]
    identities.forget(MINUTE_US)
    assert (identities.count, identities.digest) == (0, 0)


def test_an_id_used_again_in_a_later_minute_outlives_its_first_use() -> None:
    """Forgetting the minute of the first use leaves the record of the second alone."""
    identities = Identities()
    remember(identities, tag(1), content(1), 10)
    remember(identities, tag(1), content(2), MINUTE_US + 10)
    identities.forget(MINUTE_US)
    assert found(identities, tag(1), 20) == content(2)
    assert list(identities.records()) == [(tag(1), content(2), MINUTE_US + 10)]


def test_a_tag_that_happens_to_stand_across_two_fields_is_no_record() -> None:
    """The bytes of a tag may occur inside a record without being one; they are not taken for one."""
    identities = Identities()
    outer = tag(0)
    straddling = outer[8:] + content(0)[:8]
    place = identities.place_of(straddling)
    identities.add(place, outer, content(0), 5)
    assert identities.find(place, straddling, 0) is None
    identities.add(place, straddling, content(1), 6)
    assert identities.find(place, straddling, 0) == content(1)


def test_many_ids_are_all_found_while_the_table_grows() -> None:
    """Five times as many ids as the table begins with room for: after every insertion a sample is found, at the end
    all are.
    """
    identities, total = Identities(), 5 * FIRST_BUCKETS * RECORDS_PER_BUCKET
    for number in range(total):
        remember(identities, tag(number), content(number), number)
        assert found(identities, tag(number // 2), 0) == content(number // 2)
    assert all(found(identities, tag(number), 0) == content(number) for number in range(total))
    assert found(identities, tag(total), 0) is None
    assert identities.count == total


def test_forgetting_leaves_the_bytes_to_the_ids_that_follow() -> None:
    """Ten thousand ids of one minute are gone at once; each id added later sweeps one bucket, until the bytes are gone
    too.
    """
    identities = Identities()
    for number in range(10_000):
        remember(identities, tag(number), content(number), number)
    identities.forget(MINUTE_US)
    assert (identities.count, identities.digest, list(identities.records())) == (0, 0, [])
    assert found(identities, tag(1), 0) is None
    for number in range(1_000):
        remember(identities, tag(number), content(number), MINUTE_US + number)
    assert sum(map(len, identities._buckets)) == 1_000 * RECORD
    assert len(list(identities.records())) == identities.count == 1_000


def test_a_longer_window_admits_forgotten_times_and_nothing_that_was_forgotten() -> None:
    """A minute was forgotten; then an id of that minute is added: it alone is found and written down."""
    identities = Identities()
    remember(identities, tag(1), content(1), 1)
    identities.forget(MINUTE_US)
    remember(identities, tag(2), content(2), 2)
    assert found(identities, tag(2), 0) == content(2)
    assert found(identities, tag(1), 0) is None
    assert list(identities.records()) == [(tag(2), content(2), 2)]


@pytest.mark.parametrize("later", [0, 1, 400])
def test_what_a_longer_window_lets_in_again_is_remembered_anew(later: int) -> None:
    """Three hundred ids were forgotten.  The window is lengthened and one of them comes again, with none, one or many
    new ids in between: its new use is found, of the others nothing comes back.
    """
    identities = Identities()
    for number in range(300):
        remember(identities, tag(number), content(number), number)
    identities.forget(MINUTE_US)
    for number in range(later):
        remember(identities, tag(1000 + number), content(1000 + number), MINUTE_US + number)
    assert found(identities, tag(7), 0) is None
    remember(identities, tag(7), content(8), 9)
    remember(identities, tag(8), content(9), 9)
    assert [found(identities, tag(number), 0) for number in (6, 7, 8, 9)] == [None, content(8), content(9), None]
    assert identities.count == later + 2
    assert len(list(identities.records())) == later + 2


def test_forgetting_gives_the_memory_back() -> None:
    """After a thousand ids were forgotten and a thousand new ones came, no record of the first is held any more."""
    identities = Identities()
    for number in range(2000):
        if number == 1000:
            identities.forget(MINUTE_US)
        remember(identities, tag(number), content(number), number // 1000 * MINUTE_US + number)
    held = b"".join(identities._buckets)
    assert len(held) == 1000 * RECORD
    assert identities.count == 1000


steps = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3 * MINUTE_US), st.integers(0, MINUTE_US)), max_size=60)
"""Of each step: which id, how much later it arrives, how long before that its own time lies."""


@given(crowd=st.integers(0, 700), steps=steps)
@example(crowd=400, steps=[(1, 50 * MINUTE_US, 0), (1, 10, 0), (1, 2, 0)])
@example(crowd=0, steps=[(1, 10, 0), (1, 2 * MINUTE_US + 10, 2 * MINUTE_US)])
def test_the_memory_behaves_like_a_dictionary(crowd: int, steps: list[tuple[int, int, int]]) -> None:
    """Among a crowd of ids, whatever is used, repeated and forgotten: ids, their order, count and digest are those of
    a plain dictionary.
    """
    identities, records, now_us = Identities(), set[tuple[bytes, bytes, int]](), 0
    for number in range(crowd):
        remember(identities, tag(number), content(number), number)
        records.add((tag(number), content(number), number))
    window_us = 2 * MINUTE_US
    for step, (number, later_us, late_us) in enumerate(steps):
        now_us += later_us
        horizon_us = max(0, now_us - window_us)
        time_us = max(horizon_us, now_us - late_us)
        if horizon_us >= identities.oldest_us:
            identities.forget(horizon_us)
            records = {record for record in records if (record[2] // MINUTE_US + 1) * MINUTE_US > horizon_us}
        (known,) = tuple(current(records, tag(number), horizon_us)) or (None,)
        assert found(identities, tag(number), horizon_us) == known
        if known is None:
            remember(identities, tag(number), content(1000 + step), time_us)
            records.add((tag(number), content(1000 + step), time_us))
    assert list(identities.records()) == sorted(records, key=lambda record: (record[2], record))
    assert identities.count == len(records)
    assert identities.digest == sum(int.from_bytes(known, "little") for _, known, _ in records)


def current(records: Records, name: bytes, horizon_us: int) -> Iterator[bytes]:
    """The contents of an id that are still inside the window."""
    return (known for this, known, time_us in records if this == name and time_us >= horizon_us)
