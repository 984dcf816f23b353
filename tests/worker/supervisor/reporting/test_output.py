from pathlib import Path

from contracts.run.exits import tail
from worker.supervisor.reporting.output import CHUNK_BYTES, LIVE_BYTES, Output


def test_only_complete_lines_are_sent_until_the_output_ends(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"one\ntwo\nthr")
    output = Output(path)

    first = output.chunk()
    assert first is not None
    assert (first.offset, first.text, first.bytes) == (0, "one\ntwo\n", 8)
    output.acknowledge(8)
    assert output.chunk() is None
    last = output.chunk(whole=True)
    assert last is not None
    assert (last.offset, last.text, last.bytes) == (8, "thr", 3)


def test_a_line_longer_than_a_chunk_is_split(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"x" * (CHUNK_BYTES + 5))
    chunk = Output(path).chunk()

    assert chunk is not None
    assert chunk.bytes == CHUNK_BYTES


def test_output_is_measured_in_bytes_not_in_characters(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes("汉\n".encode() + b"\xff\n")
    chunk = Output(path).chunk()

    assert chunk is not None
    assert (chunk.text, chunk.bytes) == ("汉\n\N{REPLACEMENT CHARACTER}\n", 6)


def test_output_beyond_the_limit_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"line\n")
    output = Output(path)
    output.acknowledge(LIVE_BYTES)

    assert output.chunk(whole=True) is None


def test_the_tail_of_the_output_contains_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_text("".join(f"line {number}\n" for number in range(100)))

    assert tail(path, 2) == "line 98\nline 99"
    assert tail(tmp_path / "absent") == ""
