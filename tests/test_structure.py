"""Folders and files stay small enough for a reader to find a behaviour from the tree alone."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = (
    "app",
    "benchmarks",
    "cli",
    "contracts",
    "processes",
    "stepline",
    "tests",
    "web/src",
    "worker",
)
SUFFIXES = {".py", ".ts", ".tsx", ".css"}
BUILT = {"static", "__pycache__", "schema.d.ts"}
MOST_FILES = 13
"""Without `__init__.py`. A folder of about twelve files can be read at a glance."""
MOST_LINES = 390
"""A file of about 350 lines often contains a second noun that deserves its own file."""
LONG = {
    "app/db/tables.py": "one table after the other",
    "app/errors/kinds.py": "one class of errors after the other",
    "app/errors/words.py": "texts",
}


def files() -> Iterator[Path]:
    """Yield the source files, except those that a build creates."""
    for top in CODE:
        for path in (ROOT / top).rglob("*"):
            parts = path.relative_to(ROOT).parts
            if path.suffix in SUFFIXES and not BUILT & set(parts):
                yield path.relative_to(ROOT)


def test_no_folder_contains_more_files_than_can_be_read_at_a_glance() -> None:
    sizes: dict[str, int] = {}
    for path in files():
        folder = str(path.parent)
        sizes[folder] = sizes.get(folder, 0) + (path.name != "__init__.py")

    assert sizes["worker/training"] > 5
    assert {folder: size for folder, size in sizes.items() if size > MOST_FILES} == {}


def test_no_file_is_long_except_tables_and_texts() -> None:
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in files()}

    too_long = {path for path, length in lengths.items() if length > MOST_LINES}

    assert too_long == set(LONG), "divide the file by its second noun"
