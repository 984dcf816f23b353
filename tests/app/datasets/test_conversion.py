"""Dataset files in every container format. The child's code runs in this process; tests/attacks runs the child."""

import codecs
import csv
import gzip
import io
import json
import os
import tracemalloc
from datetime import date
from string import Formatter
from typing import Any, get_args

import pyarrow as pa
import pytest
from pyarrow import parquet

from app.datasets.conversion.budget import Budget
from app.datasets.conversion.containers import read_file
from app.datasets.conversion.request import Request
from app.datasets.files.file_error import _KINDS, _WORDS, FileProblem
from app.datasets.files.file_kind import FileKind, find_plain_kind
from app.datasets.files.found import Row
from tests.tables import (
    LIMITS,
    describe,
    make_arrow,
    make_jsonl,
    make_parquet,
    make_zip,
    read,
    read_values,
    zstd,
)

ROWS = [
    {"instruction": f"第 {n} 题", "output": f"答案，{n}", "tags": [{"name": "a"}], "score": n / 2}
    for n in range(3)
]
CHINESE = (
    "我们在学习中国的语言和文字，这是一个很有意思的事情。大家都可以来看看，也可以说说自己的想法。"
)


def test_every_container_format_yields_the_same_rows() -> None:
    tables = {
        "a.parquet": make_parquet(ROWS, row_group_size=2),
        "a.arrow": make_arrow(ROWS),
        "stream.arrow": make_arrow(ROWS, is_stream=True),
        "a.jsonl": make_jsonl(ROWS),
    }
    for name, content in tables.items():
        assert read_values(content) == ROWS, name
        assert read_values(gzip.compress(content)) == ROWS, name
        assert read_values(zstd(content)) == ROWS, name

    two_members = gzip.compress(tables["a.jsonl"]) + gzip.compress(tables["a.jsonl"])
    assert read_values(two_members) == ROWS * 2
    assert read_values(zstd(tables["a.jsonl"]) * 2) == ROWS * 2

    ignored = {
        "README.md": b"text",
        "__MACOSX/a.csv": b"x",
        "data/.hidden.json": b"x",
        "data/": b"",
    }
    found = read(make_zip({f"data/{name}": content for name, content in tables.items()} | ignored))
    packed = read(
        make_zip(
            {f"{name}.gz": gzip.compress(content) for name, content in tables.items()}
            | {f"{name}.zst": zstd(content) for name, content in tables.items()}
        )
    )
    assert [row.value for row in packed if isinstance(row, Row)] == ROWS * 8
    names = sorted(f"data/{name}" for name in tables)
    assert [row.file for row in found] == [name for name in names for _ in ROWS]
    assert [row.value for row in found if isinstance(row, Row)] == ROWS * 4


def test_a_compressed_arrow_stream_may_have_messages_of_any_size() -> None:
    rows = [{"text": f"{n} " * 50} for n in range(3000)]
    stream = make_arrow(rows, is_stream=True)

    for content in (gzip.compress(stream), zstd(stream), make_zip({"a.arrow": stream})):
        assert read_values(content) == rows


def test_a_cell_may_contain_turns_as_json() -> None:
    turns = [{"role": "assistant", "content": "b"}]
    openai = {"messages": [{"role": "user", "content": "a"}]}
    rows = [
        {"input": openai, "chosen": turns, "rejected": turns[0], "completion": "[1]", "prompt": "{"}
    ]
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(
        {name: cell if isinstance(cell, str) else json.dumps(cell) for name, cell in row.items()}
        for row in rows
    )

    assert read_values(file.getvalue().encode(), "a.csv") == rows


def test_a_column_whose_values_cannot_be_read_does_not_affect_the_others() -> None:
    table = pa.table({"text": ["a", "b"], "at": pa.array([10**14, 0], pa.timestamp("s"))})
    file = io.BytesIO()
    parquet.write_table(table, file)

    first, second = read_values(file.getvalue())

    assert (first, second["text"]) == ({"text": "a"}, "b")


def test_a_null_in_a_table_is_an_absent_key_and_other_types_become_text() -> None:
    rows: list[dict[str, Any]] = [
        {"m": [{"role": "user", "weight": None}], "b": b"text", "at": None},
        {"m": None, "b": b"\xff", "at": date(2026, 1, 2)},
    ]

    assert read_values(make_parquet(rows)) == [
        {"m": [{"role": "user"}], "b": "text"},
        {"b": None, "at": "2026-01-02"},
    ]


def test_a_long_table_is_not_held_in_memory() -> None:
    rows = [{"output": os.urandom(5000).hex()} for _ in range(2000)]
    for content in (
        make_parquet(rows, row_group_size=100),
        make_arrow(rows, is_stream=True, batch_rows=100),
        make_arrow(rows, batch_rows=100),
    ):
        assert len(content) > 19_000_000
        file = io.BytesIO(content)
        held = []
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        for count, _ in enumerate(read_file(file, Request("", None, LIMITS), Budget(0, 2**40))):
            if count % 100 == 50:
                of_python, _ = tracemalloc.get_traced_memory()
                held.append(pa.total_allocated_bytes() - before + of_python)
        tracemalloc.stop()
        assert len(held) == 20
        assert max(held) < 12_000_000


def test_text_in_each_encoding_yields_the_same_rows() -> None:
    rows = [{"instruction": CHINESE, "output": "好"}]
    text = make_jsonl(rows).decode()
    for content in (
        text.encode(),
        codecs.BOM_UTF8 + text.encode(),
        codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        text.encode("gb18030"),
    ):
        assert read_values(content) == rows
        assert read_values(gzip.compress(content)) == rows

    for encoding, codec in (
        ("utf-16", "le"),
        ("utf-16", "be"),
        ("utf-16-le", "le"),
        ("utf-16-be", "be"),
    ):
        assert read_values(text.encode(f"utf-16-{codec}"), encoding=encoding) == rows  # type: ignore[arg-type]

    short = '[{"instruction": "好", "output": "的"}]'
    assert read_values(short.encode("gb18030"), encoding="gb18030") == [
        {"instruction": "好", "output": "的"}
    ]
    for uncertain in (
        short.encode("gb18030"),
        ('{"a": "' + "안녕하세요 저는 한국어를 공부하고 있습니다 " * 9 + '"}').encode("euc-kr"),
        ('{"a": "' + "日本語の文章をここに書いておきます。" * 9 + '"}').encode("euc-jp"),
        ('{"a": "' + "café déjà " * 30 + '"}').encode("latin-1"),
    ):
        (problem,) = describe(read(uncertain))
        assert problem.startswith("line 1: it is not UTF-8")
        assert "?encoding=gb18030" in problem
    (problem,) = describe(read(codecs.BOM_UTF16_LE + text.encode("utf-16-le")[:-1]))
    assert "it is not UTF-16" in problem
    assert "gb18030" not in problem


def test_a_table_of_text_yields_the_same_rows_with_any_separator() -> None:
    rows = [
        {"instruction": "a, b; c\td", "output": 'say "hi"\non two lines'},
        {"instruction": "é", "output": ""},
    ]
    for separator in (",", ";", "\t"):
        lines = [["instruction", "output"], *[list(row.values()) for row in rows]]
        quoted = [
            separator.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines
        ]
        content = ("\r\n".join(quoted) + "\r\n\r\n").encode("utf-8-sig")
        assert read_values(content) == rows

    assert read_values(b"text\nhello\n", "a.csv") == [{"text": "hello"}]
    assert read_values(b"\n\ttext\tn\n0\thello\t1\n", "a.tsv") == [{"text": "hello", "n": "1"}]
    assert read_values(b",output\n0,x\n") == [{"output": "x"}], "pandas writes row numbers"


def test_cells_of_list_columns_are_read_as_json_and_their_errors_name_row_line_and_column() -> None:
    content = (
        "messages,output,history,label\n"
        '"[{""role"": ""user""}]",[1],,true\n'
        '"[\n{]",x,,False\n'
        "\"[{'role': 'user'}]\",x,,good\n"
        "[],x\n"
        '[],"x"y,,\n'
        "[],x,[],good\n"
    )

    found = read(content.encode())

    assert [each.value for each in found if isinstance(each, Row)] == [
        {"messages": [{"role": "user"}], "output": "[1]", "label": True},
        {"messages": [], "output": "x", "history": [], "label": "good"},
    ]
    problems = describe(found)
    assert problems[0].startswith("row 2, line 3: messages is not valid JSON (")
    assert problems[1].startswith("row 3, line 5: messages is not valid JSON (")
    assert problems[2] == "row 4, line 6: the row has 2 cells; the header has 4"
    assert problems[3].startswith("row 5, line 7: a quotation mark is misplaced")
    assert len(problems) == 4


def test_a_conversation_in_a_cell_may_be_turns_as_json_or_text() -> None:
    content = 'text,conversation\na,Hello\nb,"[{""role"": ""user""}]"\nc,[broken\nd,\n'

    assert [row["conversation"] for row in read_values(content.encode(), "a.csv")] == [
        "Hello",
        [{"role": "user"}],
        "[broken",
        "",
    ]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "json"),
        (b'\n [{"a": 1}]', "json"),
        (codecs.BOM_UTF8 + b"{}", "json"),
        (b'{"a": "' + "汉".encode() * 30_000, "json"),
        (b"instruction,output\n", "csv"),
        (b"Once upon a time\n", "plain_text"),
        (b'{"a": "\xe9"}', None),
        (b"\0{", None),
        (b"PAR1", None),
    ],
)
def test_only_plain_json_is_read_in_the_server_process(content: bytes, kind: str | None) -> None:
    assert find_plain_kind(content[: 64 * 1024]) == kind


def test_every_problem_and_kind_of_file_has_a_text_in_both_languages() -> None:
    assert set(_KINDS) == set(get_args(FileKind))
    assert set(_WORDS) == set(FileProblem)
    for words in _WORDS.values():
        places = [
            sorted(name for _, name, _, _ in Formatter().parse(text) if name)
            for text in (words.en, words.zh)
        ]
        assert places[0] == places[1], words
