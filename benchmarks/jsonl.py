"""Compares two ways of checking the rows of a JSONL file: with the fast parser, and with the exact parser for every row.

    python -m benchmarks.jsonl [--megabytes 100] [--side fast --form chat --megabytes 1000]

The rows are generated in four formats. Both sides check each row as an upload does and write the rows that are stored. Each runs
in its own process, which prints its peak resident memory. The last line is JSON with MB/s and the ratios of
processor time.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

from app.datasets.conversion.request import Limits
from app.datasets.files.found import Found
from app.datasets.files.json_rows import read_json
from app.datasets.intake import check_rows
from app.datasets.upload import Upload
from app.storage.data_dir import Storage
from benchmarks.data import WORDS
from contracts.dataset.columns.mapping import Columns

CHARACTERS = "训练模型的数据集需要先检查格式再提交任务请确认每一条数据都有答案"
LIMITS = Limits(unpacked_bytes=8 * 1024**3, memory_bytes=1024**3, seconds=900)


class ExactUpload(Upload):
    """An upload whose rows are all read by the exact parser."""

    def rows(self) -> Generator[Found, None, None]:
        """Yield each row, or its error."""
        self.file.seek(0)
        yield from read_json(self.file)


def english(random: random.Random, words: int) -> str:
    """Return a text of this many words."""
    return " ".join(random.choices(WORDS, k=words))


def chinese(random: random.Random, words: int) -> str:
    """Return a text of twice as many characters."""
    return "".join(random.choices(CHARACTERS, k=2 * words))


def alpaca(random: random.Random, text: Callable[..., str] = english) -> dict[str, Any]:
    """Return a row in the Alpaca format."""
    return {"instruction": text(random, 15), "input": "", "output": text(random, 60)}


def chat(random: random.Random) -> dict[str, Any]:
    """Return a conversation of five turns."""
    turns = (("system", 10), ("user", 25), ("assistant", 60), ("user", 20), ("assistant", 80))
    return {"messages": [{"role": role, "content": english(random, n)} for role, n in turns]}


FORMS: dict[str, Callable[[random.Random], str]] = {
    "alpaca": lambda random: json.dumps(alpaca(random)),
    "chat": lambda random: json.dumps(chat(random)),
    "chinese": lambda random: json.dumps(alpaca(random, chinese), ensure_ascii=False),
    "escaped chinese": lambda random: json.dumps(alpaca(random, chinese)),
}


def main() -> None:
    """Measure both sides for each form, or one side for one form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--form", choices=FORMS)
    parser.add_argument("--side", choices=("fast", "exact"))
    options = parser.parse_args()
    if options.side and options.form:
        print(json.dumps(measure(options.side, options.form, options.megabytes)))
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}; {options.megabytes} MB per form", flush=True)
    figures = {}
    for form in [options.form] if options.form else FORMS:
        sides = {side: in_process(side, form, options.megabytes) for side in ("exact", "fast")}
        rates = [sides[side]["mb_per_processor_second"] for side in ("fast", "exact")]
        ratio = rates[0] / rates[1]
        figures[form] = sides | {"ratio": round(ratio, 2)}
        print(f"{form}: {figures[form]}", flush=True)
    print(json.dumps(figures))


def in_process(side: str, form: str, megabytes: int) -> dict[str, Any]:
    """Measure one side in its own process."""
    arguments = ["--side", side, "--form", form, "--megabytes", str(megabytes)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.jsonl", *arguments], stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(side: str, form: str, megabytes: int) -> dict[str, Any]:
    """Check a generated file. Return MB (10^6 bytes) and rows per second, and the peak memory in MiB before and after.

    The first figure counts seconds of processor time, which other work on the machine hardly affects.
    """
    with tempfile.TemporaryDirectory(prefix="stepline-jsonl-") as folder:
        path = Path(folder, "rows.jsonl")
        size = write(path, FORMS[form], megabytes * 10**6)
        storage = Storage(Path(folder, "files"))
        storage.prepare()
        before = peak_mib()
        kind = Upload if side == "fast" else ExactUpload
        with path.open("rb") as file, storage.draft() as draft:
            began, began_work = time.monotonic(), time.process_time()
            upload = kind(cast("Any", file), path.name, None, LIMITS)
            checked = check_rows(upload, draft, Columns())
            seconds, work = time.monotonic() - began, time.process_time() - began_work
    return {
        "mb_per_processor_second": round(size / 10**6 / work, 1),
        "mb_per_second": round(size / 10**6 / seconds, 1),
        "rows_per_second": round(checked.rows / seconds),
        "mib_before": before,
        "mib_peak": peak_mib(),
    }


def write(path: Path, make: Callable[[random.Random], str], size: int) -> int:
    """Write generated rows until the file has this size; repeat 1,000 different rows. Return its length in bytes."""
    source = random.Random(1)  # noqa: S311  # no secret
    rows = [make(source).encode() + b"\n" for _ in range(1000)]
    length = 0
    with path.open("wb") as file:
        while length < size:
            length += file.write(b"".join(rows))
    return length


def peak_mib() -> int:
    """Return this process's peak resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
