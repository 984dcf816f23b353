"""OpenAI's newest client, unchanged, against a running service and a real training run."""

import pytest

from tests.openai.checks import errors, files, jobs, webhooks  # noqa: F401  # they add the checks
from tests.openai.checks.case import CHECKS, Case


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * check.is_slow)
        for name, check in CHECKS.items()
        if not check.is_last
    ],
)
def test_the_newest_client_passes_the_check(case: Case, name: str) -> None:
    assert not CHECKS[name].is_absent(case.client)

    CHECKS[name].run(case)
