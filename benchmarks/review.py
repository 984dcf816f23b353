"""Measures the review of a dataset: rows per second, and the peak memory of the process that reviews it.

    python -m benchmarks.review [--rows 100000] [--data FILE.json]

The rows are generated, half in English and half in Chinese, about 400 characters each; 2 % are exact copies and 2 % near copies. With
--data, they are those of FILE (a JSON array or JSONL), repeated, each with a number in front. The baseline reads and parses the same
rows without any checks. The benchmark prints the ratio to the baseline; the last line is JSON.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.config.settings import Settings
from app.datasets.review.process import review_file, review_limits
from contracts.dataset.rows import parse_row

VOCABULARY = 5000
CHARACTERS = 400


def main() -> None:
    """Measure the baseline and the review, and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--parse", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parse:
        parse_all(options.parse)
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    with tempfile.TemporaryDirectory(prefix="stepline-review-") as folder:
        path = Path(folder, "rows.jsonl")
        with path.open("w") as file:
            for row in make_rows(options.rows, options.data):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        size = path.stat().st_size
        print(
            f"{machine}, load {os.getloadavg()[0]:.1f}; {options.rows:,} rows, {size:,} bytes",
            flush=True,
        )
        parse = [sys.executable, "-m", "benchmarks.review", "--parse", str(path)]
        start, cpu = time.perf_counter(), cpu_seconds()
        subprocess.run(parse, check=True)
        baseline = figures_since(start, cpu)
        start, cpu = time.perf_counter(), cpu_seconds()
        reviewed = review_file(path, options.rows, review_limits(Settings()))
        measured = figures_since(start, cpu)
    assert reviewed is not None
    for name, figures in (("parse only", baseline), ("review", measured)):
        print(
            f"{name:<12}{figures['seconds']:>8.1f} s{figures['cpu_seconds']:>8.1f} s of CPU"
            f"{options.rows / figures['seconds']:>12,.0f} rows/s{figures['peak_mib']:>8,.0f} MiB"
        )
    review = reviewed.review
    found = {finding.code.value: finding.rows for finding in review.findings}
    ratio = round(measured["cpu_seconds"] / baseline["cpu_seconds"], 1)
    print(
        f"{review.reviewed_rows:,} rows reviewed, {review.compared_rows:,} compared; found {found}"
    )
    print(f"the review takes {ratio} times the CPU time of parsing the rows")
    print(
        json.dumps(
            {
                "machine": machine,
                "rows": options.rows,
                "bytes": size,
                "parse": baseline,
                "review": measured,
                "found": found,
                "ratio": ratio,
            }
        )
    )


def figures_since(start: float, cpu: float) -> dict[str, float]:
    """Return wall time, CPU time of the child processes, and the largest peak of their memory so far."""
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": cpu_seconds() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }


def cpu_seconds() -> float:
    """Return the CPU time of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def parse_all(path: Path) -> None:
    """Parse each row of a file."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            parse_row(json.loads(line), number)


def make_rows(count: int, data: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the rows."""
    if data is not None:
        given = read_rows(data)
        for number in range(count):
            row = dict(given[number % len(given)])
            name = next(key for key in ("instruction", "prompt") if key in row)
            yield row | {name: f"{number} {row[name]}"}
        return
    chance = random.Random(0)  # noqa: S311  # not for secrets
    words = [
        "".join(chance.choices("abcdefghijklmnoprstuvwy", k=chance.randint(2, 9)))
        for _ in range(VOCABULARY)
    ]
    signs = [chr(0x4E00 + number) for number in range(VOCABULARY)]
    made: list[list[str]] = []
    for number in range(count):
        if number > 100 and number % 25 == 0:
            text = list(made[chance.randrange(len(made))])
            if number % 50 == 0:
                text[len(text) // 2] = words[number % VOCABULARY]
        elif number % 2:
            text = chance.choices(words, k=CHARACTERS // 6)
        else:
            text = chance.choices(signs, k=CHARACTERS)
        if len(made) < 1000:
            made.append(text)
        joined = (" " if number % 2 or text[0] in words else "").join(text)
        yield {"instruction": joined[: CHARACTERS // 4], "output": joined[CHARACTERS // 4 :]}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON array or a JSONL file."""
    text = path.read_text()
    if text.lstrip().startswith("["):
        rows: list[dict[str, Any]] = json.loads(text)
        return rows
    return [json.loads(line) for line in text.splitlines() if line.strip()]


if __name__ == "__main__":
    main()
