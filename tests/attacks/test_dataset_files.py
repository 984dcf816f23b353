"""Broken and malicious dataset files. Each must be rejected with its place and reason, in bounded time and memory.

Most are read in this process by the child's code. The rest go to a real server, whose child runs under kernel limits.
"""

import gzip
import io
import json
import resource
import signal
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil  # type: ignore[import-untyped]  # it ships no types
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.datasets.conversion.archive import MAX_ENTRIES
from app.datasets.conversion.process import convert
from app.datasets.conversion.request import Limits, Request
from app.datasets.files.found import Rejected
from tests.programs.server_process import Server, running
from tests.programs.waiting import wait_for
from tests.tables import (
    describe,
    make_arrow,
    make_jsonl,
    make_parquet,
    make_zip,
    read,
    zstd,
)

ROWS = [{"instruction": f"question {n}", "output": f"answer {n}"} for n in range(3001)]
GOOD = ROWS[0]
MIB = 1024**2

T = TypeVar("T")


def claim_rows(parquet: bytes, rows: int, claimed: int) -> bytes:
    """Return a Parquet file whose footer states a different number of rows."""

    def field(number: int) -> bytes:
        number *= 2  # zigzag
        encoded = b""
        while number > 0x7F:
            encoded += bytes([number & 0x7F | 0x80])
            number >>= 7
        return b"\x16" + encoded + bytes([number])  # the next Thrift field, an i64

    length = struct.unpack("<I", parquet[-8:-4])[0]
    body, footer = parquet[: -8 - length], parquet[-8 - length : -8]
    assert footer.count(field(rows)) >= 2, "the row counts of the file and of its row group"
    footer = footer.replace(field(rows), field(claimed))
    return body + footer + struct.pack("<I", len(footer)) + b"PAR1"


def encrypt(archive: bytes) -> bytes:
    """Set the flag that marks the first entry of a zip archive as encrypted."""
    changed = bytearray(archive)
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[archive.index(signature) + at] |= 1
    return bytes(changed)


def many_entries(count: int) -> bytes:
    """Return a zip archive that lists one file `count` times."""
    archive = make_zip({"a.csv": b""})
    directory = archive.index(b"PK\x01\x02")
    end = archive.index(b"PK\x05\x06")
    entries = archive[directory:end] * count
    counts = struct.pack("<HHI", *[min(count, 0xFFFF)] * 2, len(entries))
    return archive[:directory] + entries + archive[end : end + 8] + counts + archive[end + 16 :]


def hidden_entries(count: int) -> bytes:
    """Return a zip archive whose ZIP64 record gives its number of entries, while the record after it claims one."""
    archive = many_entries(count)
    directory, end = archive.index(b"PK\x01\x02"), archive.rindex(b"PK\x05\x06")
    sizes = struct.pack("<QQQQ", count, count, end - directory, directory)
    record = b"PK\x06\x06" + struct.pack("<QHHII", 44, 45, 45, 0, 0) + sizes
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1)
    claim = archive[end : end + 8] + struct.pack("<HHI", 1, 1, 46 + len("a.csv"))
    return archive[:end] + record + locator + claim + archive[end + 16 :]


def damage(archive: bytes) -> bytes:
    """Return a zip archive with damaged content and an intact directory."""
    at = archive.index(b"a.csv") + 10
    return archive[:at] + b"\xff" * 10 + archive[at + 10 :]


def spoil(content: bytes, text: bytes) -> bytes:
    """Return the content with the first byte of the text replaced by one that is invalid in UTF-8."""
    at = content.index(text)
    return content[:at] + b"\xff" + content[at + 1 :]


def make_dictionary_bomb(rows: int, length: int) -> bytes:
    """Return a Parquet file that holds the text of all rows once."""
    column = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * length])
    file = io.BytesIO()
    parquet.write_table(pa.table({"instruction": column, "output": column}), file)
    return file.getvalue()


PARQUET = make_parquet(ROWS, compression="none", use_dictionary=False)
ARROW = make_arrow(ROWS)
STREAM = make_arrow(ROWS, is_stream=True)
JSONL = make_jsonl(ROWS[:1])
WIDE = ",".join(f"c{n}" for n in range(300)).encode() + b"\n"
ROW_OF_2_MIB = make_jsonl([{"instruction": "x" * 2 * MIB, "output": "y"}])
BOMB = ROW_OF_2_MIB * 9

BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    # text
    "latin1": (lambda: JSONL + b'{"instruction": "caf\xe9"}', "line 2: it is not UTF-8"),
    "cut_utf16": (lambda: "\ufeff[1]".encode("utf-16-le")[:-1], "line 1: it is not UTF-16"),
    "utf16_without_mark": (
        lambda: '[{"a": 1}]'.encode("utf-16-le"),
        "line 1: the text contains a NUL",
    ),
    "utf32": (lambda: '[{"a": 1}]'.encode("utf-32"), "it is text in UTF-32"),
    "nul": (lambda: b"instruction,output\na,b\na\0,b\n", "line 3: the text contains a NUL"),
    "long_line": (lambda: JSONL + b'{"a": "' + b"x" * 5 * MIB + b'"}', "line 2: it has more than"),
    "deep": (lambda: JSONL + b"[" * 100_000, "line 2: it is nested deeper than 100 levels"),
    "deep_cell": (
        lambda: b"messages,output\n" + b"[" * 100_000 + b",x\n",
        "row 1, line 2: messages is not valid JSON (nested deeper than 100 levels)",
    ),
    "long_value": (
        lambda: b'[\n{"a": "' + b"x" * 5 * MIB + b'"}]',
        "line 2: it has more than 4194304 bytes",
    ),
    "long_list": (
        lambda: b'[\n{"a": [' + (b'"' + b"x" * 1000 + b'",') * 5000 + b"1]}]",
        "line 2: it has more than 4194304 bytes",
    ),
    "broken_long_value": (
        lambda: b'[\n{"a": x, "b": "' + b"x" * 5 * MIB + b'"}]',
        "line 2: it is not valid JSON (Expecting value)",
    ),
    "long_number": (
        lambda: JSONL + b'{"a": ' + b"9" * 5000 + b"}",
        "line 2: it contains an integer of more than 4300 digits",
    ),
    "long_number_in_a_cell": (
        lambda: b"messages,output\n" + b"9" * 5000 + b",x\n",
        "messages is not valid JSON (an integer of more than 4300 digits)",
    ),
    # tables of text
    "columns": (lambda: WIDE, "line 1: it has 300 columns; at most 256 are read"),
    "open_quote": (
        lambda: b'instruction,output\na,b\n"c,d\n' + b"e,f\n" * 9,
        "row 2, line 3: a quotation mark opens a cell",
    ),
    "open_quote_in_a_long_file": (
        lambda: b'instruction,output\na,b\n"c,d\n' + (b"e," + b"f" * 1000 + b"\n") * 5000,
        "line 3: a quotation mark opens a cell",
    ),
    "long_cell": (lambda: b"instruction,output\na," + b"x" * 5 * MIB, "line 2: it has more than"),
    "long_names": (
        lambda: b"a" * 50_000 + b",b\n" + b"1,\n" * 1000,
        "its unpacked content has more than",
    ),
    "same_names": (lambda: b"a,b,a\n", "line 1: two columns have the name a"),
    # Parquet and Arrow
    "cut_parquet": (lambda: PARQUET[: len(PARQUET) // 2], "it is truncated or damaged Parquet"),
    "cut_footer": (lambda: PARQUET[:-6], "it is truncated or damaged Parquet"),
    "claimed_rows": (
        lambda: claim_rows(PARQUET, 3001, 2**40),
        f"it claims {2**40} rows; at most 100000000 are read",
    ),
    "claimed_row": (lambda: claim_rows(PARQUET, 3001, 3002), "it claims 3002 rows, but has 3001"),
    "encrypted_parquet": (lambda: b"PARE" + PARQUET[4:], "it is encrypted Parquet"),
    "text_in_parquet": (lambda: spoil(PARQUET, b"answer 2000"), "row 2001: output is not UTF-8"),
    "text_in_arrow": (lambda: spoil(ARROW, b"answer 2000"), "row 2001: output is not UTF-8"),
    "wide_parquet": (
        lambda: make_parquet([dict.fromkeys(map(str, range(300)), 1)]),
        "it has 300 columns",
    ),
    "deep_parquet": (
        lambda: make_parquet([json.loads('{"a":' * 101 + "1" + "}" * 101)]),
        "too deeply nested",
    ),
    "cut_arrow": (lambda: ARROW[:-9], "it is truncated or damaged Arrow"),
    "cut_stream": (lambda: STREAM[: len(STREAM) // 2], "it is truncated or damaged Arrow"),
    "arrow_without_batch": (lambda: b"ARROW1\0\0", "it is truncated or damaged Arrow"),
    # compressed
    "cut_gzip": (lambda: gzip.compress(JSONL)[:-5], "it is truncated or damaged gzip"),
    "cut_zstd": (lambda: zstd(JSONL)[:-5], "it is truncated or damaged zstd"),
    "gzip_bomb": (lambda: gzip.compress(BOMB), "it is more than 200 times as large"),
    "zstd_bomb": (lambda: zstd(BOMB), "it is more than 200 times as large"),
    "gzip_in_gzip": (
        lambda: gzip.compress(gzip.compress(JSONL)),
        "compressed file inside another one",
    ),
    "bzip2": (lambda: b"BZh91AY&SY", "it is compressed with bzip2"),
    # archives
    "zip_bomb": (
        lambda: make_zip({"a.jsonl": BOMB}),
        "a.jsonl: it is more than 200 times",
    ),
    "spread_bomb": (
        lambda: make_zip({f"{n}.jsonl": ROW_OF_2_MIB for n in range(9)}),
        "7.jsonl: it is more than 200 times",
    ),
    "packed_bomb": (
        lambda: make_zip({"a.jsonl.gz": gzip.compress(BOMB)}),
        "a.jsonl.gz: it is more than 200 times",
    ),
    "cut_gzip_in_zip": (
        lambda: make_zip({"a.jsonl.gz": gzip.compress(JSONL)[:-5]}),
        "a.jsonl.gz: it is truncated or damaged gzip",
    ),
    "twice_packed": (
        lambda: make_zip({"a.jsonl.gz": gzip.compress(gzip.compress(JSONL))}),
        "a.jsonl.gz: it is an archive",
    ),
    "packed_tar": (lambda: make_zip({"a.tar.gz": b"x", "b.csv": b"a,b\n"}), "a.tar.gz: it is an"),
    "packed_zip": (
        lambda: make_zip({"a.csv.gz": gzip.compress(make_zip({"a.csv": b"x"}))}),
        "a.csv.gz: it is an archive",
    ),
    "nested_zip": (
        lambda: make_zip({"a.zip": make_zip({"a.csv": b"x"})}),
        "a.zip: it is an archive",
    ),
    "hidden_zip": (
        lambda: make_zip({"a.csv": make_zip({"a.csv": b"x"})}),
        "a.csv: it is an archive",
    ),
    "outside": (
        lambda: make_zip({"../a.csv": b"a,b\n1,2\n"}),
        "../a.csv: the name of this file points",
    ),
    "absolute": (
        lambda: make_zip({"/etc/a.csv": b"a,b\n"}),
        "/etc/a.csv: the name of this file points",
    ),
    "entries": (lambda: many_entries(100_000), f"the archive lists more than {MAX_ENTRIES} files"),
    "entries_in_zip64": (lambda: hidden_entries(100_000), "the archive lists more than"),
    "entries_in_zip32": (lambda: many_entries(MAX_ENTRIES + 1), "the archive lists more than"),
    "encrypted_zip": (
        lambda: encrypt(make_zip({"a.csv": b"a,b\n1,2\n"})),
        "a.csv: it is encrypted",
    ),
    "excel": (
        lambda: make_zip({"[Content_Types].xml": b"", "xl/a.xml": b""}),
        "Save an Excel document",
    ),
    "cut_zip": (lambda: make_zip({"a.csv": b"a,b\n"})[:-30], "it is truncated or damaged ZIP"),
    "damaged_zip": (
        lambda: damage(make_zip({"a.csv": bytes(range(32, 127)) * 9})),
        "a.csv: it is truncated or damaged ZIP",
    ),
    "row_in_zip": (
        lambda: make_zip({"a.csv": b"a,b\n1,2\n", "b/c.csv": b"a,b\n1,2\n1\n"}),
        "b/c.csv, row 2, line 3: the row has 1 cells; the header has 2",
    ),
}


RAW_BODIES: list[tuple[str, bytes, dict[str, str], dict[str, str], str]] = [
    ("application/x-ndjson", JSONL, {}, {}, "upload.jsonl"),
    ("application/json; charset=utf-8", b"[" + JSONL + b"]", {}, {"filename": "../a"}, "a"),
    (
        "text/csv",
        b"instruction,output\na,b\n",
        {"Content-Disposition": "attachment; filename*=UTF-8''%E8%A1%A8.csv"},
        {},
        "表.csv",
    ),
    (
        "text/csv",
        b"instruction,output\na,c\n",
        {"Content-Disposition": "attachment; filename*=idna''abc%2e.csv"},
        {},
        "upload.csv",
    ),
    (
        "application/octet-stream",
        "instruction,output\n问,答\n".encode("gb18030"),
        {"Content-Disposition": 'attachment; filename="b.csv"'},
        {"encoding": "gb18030"},
        "b.csv",
    ),
]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_rejected_with_its_place_and_reason(name: str) -> None:
    make, expected = BROKEN[name]
    content = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    problems = describe(read(content, keep_rows=False))

    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(problems) == 1, problems[:3]
    assert expected in problems[0]
    assert grown < 100 * 1024, f"{grown} KiB"


def upload(server: Server, content: bytes, **options: Any) -> tuple[int, dict[str, Any]]:
    response = server.client.post("/v1/datasets", files={"file": ("rows", content)}, **options)
    body: dict[str, Any] = response.json()
    return response.status_code, body.get("error", body)


def find_conversions(parent: psutil.Process) -> list[psutil.Process]:
    children = parent.children(recursive=True)
    return [child for child in children if "app.datasets.conversion" in " ".join(child.cmdline())]


def test_a_server_reads_tables_and_survives_files_that_break_their_reader(
    tmp_path: Path, sqlite_url: str
) -> None:
    limits = {"conversion_memory_bytes": 512 * MIB, "max_unpacked_bytes": 2**40}
    with running(tmp_path, sqlite_url, **limits) as server:
        table = make_parquet(ROWS)
        checked = upload(server, table, params={"validate_only": "true"})
        assert server.client.get("/v1/datasets").json()["data"] == []
        status, stored = upload(server, table)
        assert (status, stored["rows"], stored["forms"]) == (201, 3001, {"alpaca": 3001})
        assert stored["preview"][1]["messages"][1]["content"] == "answer 1"
        kept = {name: stored[name] for name in checked[1] if name != "object"}
        assert checked == (200, kept | {"object": "dataset_validation"})
        assert upload(server, table) == (200, stored)

        for media_type, content, headers, params, filename in RAW_BODIES:
            response = server.client.post(
                "/v1/datasets",
                content=content,
                headers={"Content-Type": media_type, **headers},
                params=params,
            )
            assert response.status_code == 201, response.text
            assert (response.json()["filename"], response.json()["rows"]) == (filename, 1)

        status, error = upload(server, make_dictionary_bomb(256, 3 * MIB))
        assert (status, error["code"]) == (400, "dataset_unreadable")
        assert "more than 536870912 bytes of memory" in error["message"]

        slow = b"instruction,output\n" + b"a,b\n" * 3_000_000
        with ThreadPoolExecutor() as pool:
            uploading = pool.submit(upload, server, slow)
            (child,) = wait_for(lambda: find_conversions(psutil.Process(server.process.pid)))
            child.send_signal(signal.SIGSEGV)
            status, error = uploading.result()
            assert (status, error["code"]) == (400, "dataset_unreadable")
            assert "ended with SIGSEGV" in error["message"]

            uploading = pool.submit(upload, server, slow)
            (child,) = wait_for(lambda: find_conversions(psutil.Process(server.process.pid)))
            server.process.kill()
            with pytest.raises(httpx2.TransportError):
                uploading.result()
        wait_for(lambda: has_ended(child))


def test_a_file_that_takes_too_long_is_rejected_and_its_reader_ends(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(PARQUET)
    limits = Limits(unpacked_bytes=MIB, memory_bytes=512 * MIB, seconds=0.01)
    with path.open("rb") as file:
        (problem,) = convert(file, Request("rows", None, limits))

    assert isinstance(problem, Rejected)
    assert problem.describe("en").startswith("reading it takes more than 0.01 seconds")
    assert find_conversions(psutil.Process()) == []


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended, even if its new parent has not reaped it."""
    return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
