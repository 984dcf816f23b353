"""Running tests in several processes with `--lanes`."""

import subprocess
import sys
from pathlib import Path

from tests.units import Queue

HOOKS = "from tests.conftest import pytest_addoption, pytest_runtestloop\n"
TESTS = """
import os, pytest, warnings

@pytest.fixture(scope="session")
def broken():
    yield
    raise ValueError("from the teardown")

def test_passes(tmp_path): pass
def test_fails(tmp_path):
    os.write(1, b"captured output\\n")
    assert False, "from the test"
def test_ends_the_process(): os._exit(3)
def test_runs_after_the_end_of_the_process(tmp_path): pass
@pytest.mark.skip(reason="a reason to skip")
def test_is_skipped(): pass
def test_warns(): warnings.warn("a warning")
def test_ends_the_process_again(): os._exit(4)
def test_breaks_its_teardown(broken): pass
"""


def run(directory: Path, *options: str) -> tuple[int, str]:
    """Run TESTS, and one more file; return the exit status and the output."""
    (directory / "conftest.py").write_text(HOOKS)
    (directory / "test_first.py").write_text(TESTS)
    (directory / "test_second.py").write_text("def test_passes(tmp_path): pass\n")
    command = (sys.executable, "-m", "pytest", "-c", "/dev/null", f"--rootdir={directory}")
    options = ("-p", "no:schemathesis", "-rs", f"--basetemp={directory}/temp", *options)
    done = subprocess.run(
        [*command, *options, "--lanes=2", directory],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_each_test_is_reported_once_even_if_one_ends_the_process(tmp_path: Path) -> None:
    status, output = run(tmp_path)

    assert status == 1
    assert "3 failed, 5 passed, 1 skipped, 1 warning, 1 error in" in output
    for text in (
        "captured output",
        "from the test",
        "from the teardown",
        "a reason to skip",
        "a warning",
        "ended with status 3",
        "ended with status 4",
    ):
        assert text in output


def test_no_test_begins_after_the_permitted_number_of_failures(tmp_path: Path) -> None:
    status, output = run(tmp_path, "--maxfail=1", "-k", "fails or again")

    assert status == 1
    assert "stopping after 1 failures" in output
    assert "1 failed, 7 deselected in" in output


def test_the_queue_hands_out_whole_units_and_returned_tests_first() -> None:
    queue = Queue(["tests/web/a.py::a", "tests/b.py::a", "tests/web/c.py::a", "tests/d.py::a"])

    assert queue.take(computing=True) == [1]
    assert queue.take() == [0, 2]
    queue.give_back([2])
    queue.give_back([1])
    assert [queue.take() for _ in range(4)] == [[1], [2], [3], []]
