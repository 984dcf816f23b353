"""Reading JSONL with the fast parser, whose results must equal those of the exact parser."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.config.settings import Settings
from app.datasets.files.file_error import FileError
from app.datasets.files.found import Found, Rejected, Row
from app.datasets.files.json_lines import are_lines, read_lines
from app.datasets.files.json_rows import read_json
from contracts.dataset.rows import MAX_LINE_BYTES
from tests.app.player import Player

GOOD = b'{"instruction": "a", "output": "b"}\n'

LINES: dict[str, bytes] = {
    "mark": b"\xef\xbb\xbf" + GOOD,
    "mark_in_line_2": GOOD + b"\xef\xbb\xbf" + GOOD,
    "blank_lines": b"\n \t\r\n" + GOOD + "\u00a0\u2028\n".encode() + GOOD,
    "no_last_line_break": GOOD + GOOD[:-1],
    "line_breaks_of_windows": GOOD.replace(b"\n", b"\r\n") * 2,
    "returns_between_values": b'{"a":\r1}\n',
    "surrogate": rb'{"a": "\ud800"}' + b"\n" + GOOD,
    "surrogate_in_key": rb'{"\udfff": 1}',
    "encoded_surrogate": GOOD + b'{"a": "\xed\xa0\x80"}\n' + GOOD,
    "latin1": GOOD + b'{"a": "caf\xe9"}\n' + GOOD,
    "cut_character": GOOD + '{"a": "汉'.encode()[:-1],
    "not_finite": b'{"a": NaN}\n{"a": -Infinity}\n{"a": 1e999}\n{"a": 1e-999}\n',
    "long_number": GOOD + b'{"a": ' + b"9" * 5000 + b"}\n" + GOOD,
    "long_number_allowed": b'{"a": ' + b"9" * 4000 + b"}\n",
    "deep": GOOD + b"[" * 100_000 + b"\n" + GOOD,
    "deep_and_complete": b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}\n" + GOOD,
    "deepest_allowed": b'{"a": ' + b"[" * 99 + b"]" * 99 + b"}\n",
    "nul": GOOD + b'{"a": "\0"}\n',
    "nul_behind": GOOD[:-1] + b"\0\n",
    "control": b'{"a": "\x01"}\n',
    "two_values": b"{} {}\n" + GOOD,
    "no_object": b'1\n"a"\nnull\n[]\n',
    "trailing_comma": b'{"a": 1,}\n',
    "cut": GOOD + b'{"a": ',
    "long_line": GOOD + b'{"a": "' + b"x" * (MAX_LINE_BYTES + 1) + b'"}\n' + GOOD,
    "very_long_line": GOOD + b'{"a": "' + b"x" * (5 * MAX_LINE_BYTES) + b'"}\n' + GOOD,
    "long_line_of_wide_characters": '{{"a": "{}"}}\n'.format("汉" * 1_500_000).encode() + GOOD,
    "repeated_key": b'{"a": 1, "a": 2}\n',
}


def collect(read: Callable[[io.BytesIO], Iterator[Found]], content: bytes) -> list[str]:
    """Return the results of a reader: values with their places, and problems as users see them."""
    found: list[Found] = []
    try:
        found.extend(read(io.BytesIO(content)))
    except FileError as error:
        found.append(Rejected(error))
    return [
        f"{each.number} {each.line} {each.value!r}"
        if isinstance(each, Row)
        else f"{each.number} {each.describe('en')}"
        for each in found
    ]


@pytest.mark.parametrize("name", LINES)
def test_the_fast_reader_finds_the_same_rows_and_problems_as_the_exact_one(name: str) -> None:
    fast, exact = collect(read_lines, LINES[name]), collect(read_json, LINES[name])

    # Because it decodes blocks of lines, the exact reader may not return the rows just before an undecodable line.
    assert fast[-len(exact) :] == exact
    assert fast[: -len(exact)] == [] or "not UTF-8" in str(exact)


@hypothesis_settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.text(alphabet='[]{}",:\n\r 1aé\\ud', max_size=40)
        | st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ).map(json.dumps),
        max_size=5,
    ).map("\n".join)
)
def test_any_lines_are_read_as_the_exact_reader_reads_them(text: str) -> None:
    content = text.encode()
    if are_lines(content):
        assert collect(read_lines, content) == collect(read_json, content)


def test_an_array_is_not_read_as_lines() -> None:
    for head in (b"[1]", b"\xef\xbb\xbf \r\n\t[", b" ", b""):
        assert not are_lines(head)
    for head in (GOOD, b"\xef\xbb\xbf\n" + GOOD, b"1\n"):
        assert are_lines(head)


@pytest.mark.parametrize("query", [{}, {"columns[instruction]": "q"}])
def test_numbers_beyond_64_bits_are_stored_exactly(
    player: Player, settings: Settings, query: dict[str, str]
) -> None:
    numbers = [10**30, -(10**30), 2**64, 0.1]
    row = {"q" if query else "instruction": "a", "output": "b", "n": numbers}

    content = json.dumps(row) + "\n"
    answer = player.client.post("/v1/datasets", files={"file": ("a.jsonl", content)}, params=query)

    assert answer.status_code == 201, answer.text
    stored = json.loads(stored_file(settings.data_dir))["n"]
    assert (stored, [type(number) for number in stored]) == (numbers, [int, int, int, float])


def test_each_stored_row_is_one_line_for_every_reader(player: Player, settings: Settings) -> None:
    content = b'  {"instruction": "a",\r "output": "b"} \r\n\n' + GOOD
    answer = player.client.post("/v1/datasets", files={"file": ("a.jsonl", content)})

    assert answer.json()["rows"] == 2
    assert stored_file(settings.data_dir) == b'{"instruction": "a",  "output": "b"}\n' + GOOD


def stored_file(directory: Path) -> bytes:
    (path,) = (directory / "datasets").iterdir()
    return path.read_bytes()
