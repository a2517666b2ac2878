"""Claims about the refusal codes as a wire contract."""

from ringfence_schemas.codes import CODES, PRECEDENCE

# Written down a second time on purpose: codes may be added, but what stands here may never change.
PUBLISHED = [
    "malformed",
    "unknown_type",
    "missing_field",
    "wrong_type",
    "bad_id",
    "out_of_range",
    "not_positive",
    "conflicts_with_applied",
    "too_old",
    "time_in_future",
    "unknown_instrument",
    "stale_version",
    "immutable_field",
    "invalid_instrument",
    "instrument_closed",
    "sequence_not_increasing",
    "wrong_asset",
    "no_position",
    "too_many_decimals",
    "unknown_liquidation",
    "liquidating",
    "leverage_too_high",
    "rebalance_required",
    "no_mark",
    "insufficient_wallet",
    "not_removable",
    "wrong_partition",
    "too_large",
]


def test_published_codes_keep_their_names_and_their_order() -> None:
    """A client may rely on every code and on which of two is reported."""
    assert [code for code in CODES if code in PUBLISHED] == PUBLISHED


def test_a_code_has_one_rank_one_stage_and_a_text_of_its_own() -> None:
    """Ranks count from 0 without gaps, stages do not interleave, and no two codes say the same."""
    assert list(PRECEDENCE.values()) == list(range(len(CODES)))
    assert list(PRECEDENCE) == list(CODES)
    assert list(dict.fromkeys(row.stage for row in CODES.values())) == ["content", "history", "state", "edge"]
    assert [row.stage for row in CODES.values()] == sorted(
        (row.stage for row in CODES.values()), key=["content", "history", "state", "edge"].index
    )
    assert len({row.meaning for row in CODES.values()}) == len(CODES)
    assert all(row.remedy for row in CODES.values())
