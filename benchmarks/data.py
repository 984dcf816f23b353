"""Compares how fast Stepline, without and with its token cache, and `datasets.map` prepare the rows of a job.

    python -m benchmarks.data MODEL [--rows 100000] [--data FILE.json | --tools] [--max-length 1024] [--helpers N]

MODEL is a directory with a tokenizer and a chat template. The rows are generated or taken from FILE (a JSON array or
JSONL) and repeated, each prefixed with a number, until there are enough. With `--tools`, they are generated chats with tools, a tool
call, its result and two answers. Stepline runs without and with helper processes. Each side runs in its own process. The peer renders with
`apply_chat_template`, tokenizes in batches with one process per core, and writes Arrow files, as the examples in the
documentation of transformers and TRL do; it does not mask the questions. The benchmark prints rows per second, the peak resident
memory of all processes of a side (sampled), the ratios and, on the last line, JSON.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no type hints

WORDS = [
    "run",
    "train",
    "step",
    "loss",
    "model",
    "token",
    "batch",
    "adapter",
    "layer",
    "weight",
    "rate",
    "queue",
    "worker",
    "report",
    "epoch",
]


def main() -> None:
    """Measure both sides, and print the figures."""
    options = arguments()
    if options.side:
        print(json.dumps(SIDES[options.side](options)))
        return
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}; {options.rows:,} rows", flush=True)
    with tempfile.TemporaryDirectory(prefix="stepline-data-") as folder:
        options.folder = Path(folder)
        write_rows(options)
        found = {}
        for name, side in (
            ("stepline, one process", "alone"),
            ("stepline, first time", "stepline"),
            ("stepline, again", "stepline"),
            ("datasets.map, first time", "peer"),
            ("datasets.map, again", "peer"),
        ):
            found[name] = measure(options, side)
            figures = found[name]
            print(
                f"{name:<26}{figures['seconds']:>8.1f} s{figures['rows'] / figures['seconds']:>12,.0f} rows/s"
                f"{figures['peak_mib']:>8,.0f} MiB",
                flush=True,
            )
    ratios = {
        kind: round(
            found[f"datasets.map, {kind}"]["seconds"] / found[f"stepline, {kind}"]["seconds"], 2
        )
        for kind in ("first time", "again")
    }
    for kind, ratio in ratios.items():
        print(f"stepline is {ratio} times as fast, {kind}")
    print(json.dumps({"machine": machine, "rows": options.rows, "sides": found, "ratios": ratios}))


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tools", action="store_true", help="generate chats with tool calls")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument(
        "--helpers", type=int, help="by default as many as the training program would start"
    )
    parser.add_argument("--side", choices=sorted(SIDES), help="used to start one side")
    parser.add_argument("--folder", type=Path, help="used to start one side")
    return parser.parse_args()


def write_rows(options: argparse.Namespace) -> None:
    """Write the training rows, and a few for evaluation, into the run directory."""
    if options.data:
        given = list(read_given(options.data))
    else:
        given = list(generate_chats(1000) if options.tools else generate(1000))
    data = options.folder / "run" / "data"
    data.mkdir(parents=True)
    (options.folder / "run" / "model").symlink_to(options.model.resolve())
    for name, count in (("train", options.rows), ("eval", 10)):
        with (data / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(count):
                row = dict(given[number % len(given)])
                if options.tools:
                    asked = {"role": "user", "content": f"{number} {row['messages'][0]['content']}"}
                    row["messages"] = [asked, *row["messages"][1:]]
                else:
                    row["instruction"] = f"{number} {row['instruction']}"
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_given(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSON array or JSONL file in Alpaca format."""
    text = path.read_text(encoding="utf-8")
    rows = json.loads(text) if text.lstrip().startswith("[") else map(json.loads, text.splitlines())
    for row in rows:
        yield {key: row.get(key) or "" for key in ("instruction", "input", "output")}


def generate(count: int) -> Iterator[dict[str, Any]]:
    """Yield rows of 20 to 300 random words each."""
    chance = random.Random(1)  # noqa: S311  # not for security
    for _ in range(count):
        words = [chance.choice(WORDS) for _ in range(chance.randint(20, 300))]
        cut = len(words) // 3
        yield {"instruction": " ".join(words[:cut]), "input": "", "output": " ".join(words[cut:])}


def generate_chats(count: int) -> Iterator[dict[str, Any]]:
    """Yield chats of random words with three tools, a tool call and its result."""
    chance = random.Random(1)  # noqa: S311  # not for security

    def words(number: int) -> str:
        return " ".join(chance.choice(WORDS) for _ in range(number))

    def turn(role: str, number: int) -> dict[str, Any]:
        return {"role": role, "content": words(number)}

    for _ in range(count):
        properties = {"topic": {"type": "string", "description": words(6)}}
        parameters = {"type": "object", "properties": properties}
        tools = [
            {
                "type": "function",
                "function": {"name": name, "description": words(12), "parameters": parameters},
            }
            for name in ("search", "read", "write")
        ]
        function = {"name": "search", "arguments": {"topic": words(4)}}
        call = {"role": "assistant", "content": ""}
        yield {
            "tools": tools,
            "messages": [
                turn("user", 20),
                call | {"tool_calls": [{"type": "function", "function": function}]},
                turn("tool", 30),
                turn("assistant", 50),
                turn("user", 10),
                turn("assistant", 60),
            ],
        }


def measure(options: argparse.Namespace, side: str) -> dict[str, float]:
    """Run one side in its own process, and add the peak memory of that process and its children."""
    command = [sys.executable, "-m", "benchmarks.data", str(options.model), "--side", side]
    command += ["--tools"] if options.tools else []
    command += [] if options.helpers is None else ["--helpers", str(options.helpers)]
    command += ["--folder", str(options.folder), "--max-length", str(options.max_length)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        sampler = Sampler(process.pid)
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{side} failed with status {process.returncode}")
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found | {"peak_mib": sampler.finish()}


class Sampler:
    """Samples the resident memory of a process and its children, ten times a second."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self) -> float:
        """Return the peak in MiB, after the process has ended."""
        self._thread.join()
        return round(self._peak / 2**20, 1)

    def _run(self) -> None:
        while True:
            try:
                processes = [self._process, *self._process.children(recursive=True)]
                self._peak = max(self._peak, sum(map(unshared, processes)))
                if not self._process.is_running() or self._process.status() == "zombie":
                    return
            except psutil.NoSuchProcess:
                if not psutil.pid_exists(self._process.pid):
                    return
            time.sleep(0.1)


def unshared(process: psutil.Process) -> int:
    """Return a process's memory in bytes, counting shared pages proportionally."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def run_alone(options: argparse.Namespace) -> dict[str, float]:
    """Prepare the rows in one process, without the token cache."""
    return run_stepline(options, is_alone=True)


def run_stepline(options: argparse.Namespace, *, is_alone: bool = False) -> dict[str, float]:
    """Prepare the rows as the training program does, with the token cache and helpers."""
    from worker.training.__main__ import prepare_environment  # noqa: PLC0415

    prepare_environment()
    from contracts.job import JobSpec  # noqa: PLC0415
    from contracts.run.run_dir import Placed, RunDir  # noqa: PLC0415
    from worker.training.data.cache.cache import Cache  # noqa: PLC0415
    from worker.training.data.preparation import prepare  # noqa: PLC0415
    from worker.training.data.rendering.template import Template  # noqa: PLC0415
    from worker.training.data.tokenization.helpers import Helpers  # noqa: PLC0415
    from worker.training.memory.helpers import plan_helpers  # noqa: PLC0415
    from worker.training.model.tokenizer import load_tokenizer  # noqa: PLC0415

    run_dir = RunDir(options.folder / "run")
    spec = JobSpec.model_validate(
        {
            "model": "benchmark",
            "dataset": {"train": {"hub": "some/data"}},
            "training": {"max_length": options.max_length},
        }
    )
    tokenizer = load_tokenizer(run_dir.model)
    helpers = plan_helpers(run_dir, spec, Placed())
    if options.helpers is not None:
        helpers = Helpers(options.helpers, run_dir.model, None, options.max_length)
    begun = time.perf_counter()
    data = prepare(
        run_dir,
        spec,
        tokenizer,
        Template(tokenizer),
        cache=None if is_alone else Cache(options.folder / "token_cache", 2**40),
        helpers=None if is_alone else helpers,
    )
    seconds = time.perf_counter() - begun
    return {"rows": len(data.train) + len(data.evaluation), "seconds": seconds}


def run_peer(options: argparse.Namespace) -> dict[str, float]:
    """Prepare the rows with `datasets.map`, with its cache in the given folder."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=str(options.folder / "peer"))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one process per core instead
    import datasets  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(options.model)

    def encode(batch: dict[str, list[Any]]) -> Any:
        if options.tools:
            texts = [
                tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
                for messages, tools in zip(batch["messages"], batch["tools"], strict=True)
            ]
            return tokenizer(
                texts, add_special_tokens=False, truncation=True, max_length=options.max_length
            )
        columns = zip(batch["instruction"], batch["input"], batch["output"], strict=True)
        texts = [
            tokenizer.apply_chat_template(
                [
                    {"role": "user", "content": "\n".join(filter(None, (instruction, more)))},
                    {"role": "assistant", "content": answer},
                ],
                tokenize=False,
            )
            for instruction, more, answer in columns
        ]
        return tokenizer(
            texts, add_special_tokens=False, truncation=True, max_length=options.max_length
        )

    begun = time.perf_counter()
    rows = datasets.load_dataset(
        "json", data_files=str(options.folder / "run" / "data" / "train.jsonl"), split="train"
    )
    encoded = rows.map(
        encode, batched=True, num_proc=os.cpu_count(), remove_columns=rows.column_names
    )
    return {"rows": len(encoded), "seconds": time.perf_counter() - begun}


SIDES = {"alone": run_alone, "peer": run_peer, "stepline": run_stepline}


if __name__ == "__main__":
    main()
