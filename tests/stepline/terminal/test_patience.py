from collections.abc import Callable

import pytest

from stepline.client.errors import NotFound, ServerUnreachable
from stepline.terminal.patience import PATIENCE_SECONDS, read_patiently


def failing(errors: list[Exception]) -> Callable[[], str]:
    def read() -> str:
        if errors:
            raise errors.pop(0)
        return "found"

    return read


def test_a_request_is_repeated_until_the_server_answers_and_the_user_is_told_twice() -> None:
    told: list[bool] = []
    read = failing([ServerUnreachable("down"), ServerUnreachable("down")])

    assert read_patiently(read, told.append, sleep=lambda _: None) == "found"
    assert told == [False, True]


def test_a_server_that_stays_down_is_reported_in_the_end() -> None:
    now = [0.0]

    def pass_time(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(ServerUnreachable):
        read_patiently(
            failing([ServerUnreachable("down")] * 1000),
            lambda _: None,
            sleep=pass_time,
            clock=lambda: now[0],
        )

    assert now[0] > PATIENCE_SECONDS


def test_a_rejected_request_is_not_repeated() -> None:
    with pytest.raises(NotFound):
        read_patiently(failing([NotFound(404, "job_not_found", "gone")]), lambda _: None)
