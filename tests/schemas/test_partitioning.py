"""Claims about partitions: ours are the ones that Kafka's Java client chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence_schemas.partitioning import murmur2, partition_of

JAVA = [
    ("21", -973932308),
    ("foobar", -790332482),
    ("a-little-bit-long-string", -985981536),
    ("a-little-bit-longer-string", -1486304829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ("abc", 479470107),
]


@pytest.mark.parametrize(("text", "value"), JAVA)
def test_the_hash_is_that_of_the_java_client(text: str, value: int) -> None:
    """The values that the Java client's own test asserts (`UtilsTest.testMurmur2`)."""
    assert murmur2(text.encode()) == value


@pytest.mark.parametrize(("text", "value"), JAVA)
def test_a_partition_is_the_hash_without_its_sign_modulo_their_number(text: str, value: int) -> None:
    """Java clears the sign bit rather than negate, and takes the remainder."""
    assert partition_of(text.encode(), 12) == (value & 0x7FFFFFFF) % 12


@given(st.binary(), st.integers(1, 1000))
def test_every_key_has_a_partition(key: bytes, partitions: int) -> None:
    """Any bytes, the empty key included, belong to one of the partitions; with one partition, to the first."""
    assert 0 <= partition_of(key, partitions) < partitions
    assert partition_of(key, 1) == 0
