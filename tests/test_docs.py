import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from app.config.settings import Settings as ServerSettings
from tests.units import IS_SLOW
from worker.settings import Settings as WorkerSettings

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("settings", [ServerSettings, WorkerSettings])
def test_every_setting_is_documented(settings: type[BaseSettings]) -> None:
    text = (ROOT / "docs" / "settings.md").read_text()

    missing = [name for name in settings.model_fields if f"`STEPLINE_{name.upper()}`" not in text]

    assert missing == []


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_every_link_in_the_readme_points_to_an_existing_file(readme: str) -> None:
    text = (ROOT / readme).read_text()
    targets = [part.split(")")[0] for part in text.split("](")[1:]]

    missing = [target for target in targets if not (ROOT / target).exists()]

    assert targets
    assert missing == []


def test_every_new_path_and_name_in_the_tables_of_moves_exists() -> None:
    files, names, folders = _moves()

    missing = [path for new in files.values() for path in new if not (ROOT / path).exists()]
    for path, name in names:
        if not re.search(
            rf"^(async def|def|class) {name}\b|^{name}\b", (ROOT / path).read_text(), re.MULTILINE
        ):
            missing.append(f"{path}: {name}")
    missing += [f"{module}.*" for module in folders.values() if not list(ROOT.glob(f"{module}.*"))]

    assert len(files) > 130
    assert len(names) > 30
    assert len(folders) > 70
    assert missing == []


def test_every_old_path_in_the_worked_examples_is_in_the_tables_of_moves() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    examples = text.split("## How to add: five worked examples")[1].split("\n## ")[0]
    paths = re.findall(r"`(\w+/[\w/.-]+\.\w+)`", examples)
    files, _, folders = _moves()

    unknown = [
        path
        for path in paths
        if not (ROOT / path).exists() and path not in files and path.split(".")[0] not in folders
    ]

    assert len(paths) > 30
    assert unknown == []


def _moves() -> tuple[dict[str, list[str]], list[tuple[str, str]], dict[str, str]]:
    """Return the tables of docs/decisions/0006.

    These are the new paths of each old path, the names that moved with the file that contains them now, and the new
    path of each module that moved into a subfolder, without its extension.
    """
    text = (ROOT / "docs" / "decisions" / "0006-layers-in-the-server.md").read_text()
    files: dict[str, list[str]] = {}
    names: list[tuple[str, str]] = []
    folders: dict[str, str] = {}
    for line in text.splitlines():
        columns = [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|")]
        if len(columns) == 2 and all(columns):
            files[columns[0][0]] = columns[1]
        elif len(columns) == 3 and all(columns):
            (old,), (new,), moved = columns
            if "." in new:
                names += [(new, name) for name in moved]
            else:
                folders |= {f"{old}/{module}": f"{new}/{module}" for module in moved}
    return files, names, folders


def test_the_reliability_page_states_which_tests_are_quick_and_on_which_database(
    request: pytest.FixtureRequest,
) -> None:
    lines = (ROOT / "docs" / "reliability.md").read_text().splitlines()
    table = "\n".join(line for line in lines if line.startswith("|"))
    mark = r"(?:, both)?(?:,? \*quick\*(?: on \w+)?)?"
    entries = re.findall(rf"`([\w/]+/test_\w+\.py)(?: -k (\w+))?`({mark})", table)
    is_slow = request.config.stash[IS_SLOW]
    collected = {test.split("::")[0] for test in is_slow}  # some files only, if pytest got paths

    wrong = []
    for path, word, stated in entries:
        tests = {
            test: slow
            for test, slow in is_slow.items()
            if test.startswith(f"{path}::") and word in test
        }
        if path in collected and stated != _mark(tests, both="both" in stated):
            wrong.append(f"{path} -k {word}{stated}")

    assert len(entries) > 60
    assert [path for path, _, _ in entries if not (ROOT / "tests" / path).exists()] == []
    assert wrong == []


def _mark(is_slow: dict[str, bool], *, both: bool) -> str | None:
    """Return the mark of these tests on the page, or None if no mark is true of all of them."""
    if not both:
        names = {test.split("[")[0] for test in is_slow}
        quick = {test.split("[")[0] for test, slow in is_slow.items() if not slow}
        return None if quick not in (names, set()) or not names else " *quick*" if quick else ""
    speeds = {
        name: {slow for test, slow in is_slow.items() if name.lower() in test}
        for name in ("SQLite", "PostgreSQL")
    }
    quick_on = [name for name, slow in speeds.items() if slow == {False}]
    slow_on = [name for name, slow in speeds.items() if slow == {True}]
    if len(quick_on) + len(slow_on) < 2:
        return None
    place = f" on {quick_on[0]}" if quick_on and slow_on else ""
    return f", both, *quick*{place}" if quick_on else ", both"
