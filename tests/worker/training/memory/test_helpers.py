"""How many processes may prepare rows."""

import pytest

from worker.training.data.tokenization.helpers import HELPER_BYTES
from worker.training.memory.helpers import MOST, count_helpers

PLENTY = 100 * HELPER_BYTES


@pytest.mark.parametrize(
    ("processors", "free_bytes", "expected"),
    [
        (1, PLENTY, 0),
        (2, PLENTY, 0),
        (3, PLENTY, 3),
        (64, PLENTY, MOST),
        (8, 4 * 5 * HELPER_BYTES, 5),
        (8, 4 * 2 * HELPER_BYTES, 0),
    ],
)
def test_helpers_are_limited_by_processors_and_memory(
    processors: int, free_bytes: int, expected: int
) -> None:
    assert count_helpers(processors, free_bytes) == expected
