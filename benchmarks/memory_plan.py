"""Compares the memory that the plan predicts with the memory that real training takes on this machine's CPU.

    python -m benchmarks.memory_plan --model DIR [--tokens 256,512] [--dtypes bfloat16,float32] [--updates 2]

For each compute type, one process loads the real model and trains each setting, and another one predicts each setting from
config.json and the names and shapes of the weights alone. Settings are the numbers of tokens per micro-batch, and the largest
number again with recomputed activations. Measured is the peak of the process's resident memory (VmHWM), which is reset before
each setting. The last line is JSON.
"""

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GIB = 2**30
_SIDES = ("predict", "measure")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_SAMPLES = 4


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    tokens: int
    recomputes: bool


def main() -> None:
    """Run both sides of each compute type; print a table and JSON."""
    options = arguments()
    if options.side:
        side = predict if options.side == "predict" else measure
        side(options)
        return
    result = []
    for dtype in options.dtypes.split(","):
        predicted, measured = (run_side(side, dtype, options) for side in _SIDES)
        for setting, ours, real in zip(settings(options), predicted, measured, strict=True):
            result.append({"dtype": dtype, **vars(setting), "predicted": ours, "measured": real})
    report(result)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", required=True, type=Path, help="a model directory")
    parser.add_argument("--tokens", default="256,512", help="per micro-batch, ascending")
    parser.add_argument("--dtypes", default="bfloat16,float32")
    parser.add_argument("--updates", type=int, default=2, help="of each setting")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--side", choices=_SIDES, help="used by this program itself")
    return parser.parse_args()


def settings(options: argparse.Namespace) -> list[Setting]:
    """Return the settings in the order in which they run: recomputation cannot be switched off again."""
    tokens = [int(number) for number in options.tokens.split(",")]
    return [*(Setting(number, recomputes=False) for number in tokens), Setting(tokens[-1], True)]


def run_side(side: str, dtype: str, options: argparse.Namespace) -> list[int]:
    """Run one side in its own process; return the bytes of each setting."""
    arguments = ["--model", str(options.model), "--tokens", options.tokens, "--dtypes", dtype]
    arguments += ["--updates", str(options.updates), "--rank", str(options.rank), "--side", side]
    command = [sys.executable, "-m", "benchmarks.memory_plan", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def prepare(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return the spec and the device, with everything imported that the training program imports."""
    from worker.training.__main__ import prepare_environment  # noqa: PLC0415 - before torch

    prepare_environment()
    import worker.training.compute  # noqa: PLC0415 - before transformers
    import worker.training.run  # noqa: F401, PLC0415 - as the program does
    from contracts.job import JobSpec  # noqa: PLC0415
    from worker.training.compute.device import check_four_bit, choose_device  # noqa: PLC0415

    spec = JobSpec.model_validate(
        {
            "model": options.model.name,
            "dataset": {"train": "ds_00000000", "eval_size": 1},
            "lora": {"rank": options.rank, "alpha": 2 * options.rank},
            "training": {"max_length": 1024},
        }
    )
    device = choose_device(options.dtypes, None)
    check_four_bit(device)
    return spec, device


def predict(options: argparse.Namespace) -> None:
    """Print what the plan predicts for each setting, without reading a weight."""
    spec, device = prepare(options)
    from worker.training.memory.plan import predict_bytes  # noqa: PLC0415 - after the environment

    found = []
    for each in settings(options):
        parts = predict_bytes(
            options.model, spec, device, samples(each.tokens), recomputes=each.recomputes
        )
        print(each, [f"{part / GIB:.2f} GiB" for part in parts], file=sys.stderr, flush=True)
        found.append(sum(parts))
    print(json.dumps(found))


def measure(options: argparse.Namespace) -> None:
    """Print the peak of the resident memory of each setting, in bytes."""
    spec, device = prepare(options)
    import torch  # noqa: PLC0415 - after the environment

    from worker.training.data.batches import pack  # noqa: PLC0415
    from worker.training.learning.loss import sum_nll  # noqa: PLC0415
    from worker.training.learning.optim import build_optimizer  # noqa: PLC0415
    from worker.training.model.load import load_model  # noqa: PLC0415

    model = load_model(options.model, spec, device)
    parameters = model.adapter_parameters
    optimizer = build_optimizer(parameters, spec.training)
    libc, found = ctypes.CDLL("libc.so.6"), []
    for setting in settings(options):
        if setting.recomputes:
            model.checkpoint_activations()
        (batch,) = pack(samples(setting.tokens), setting.tokens)
        libc.malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        for _ in range(options.updates):
            model.peft_model.train()
            optimizer.zero_grad(set_to_none=False)
            sum_nll(model, batch).backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            torch.nn.utils.clip_grads_with_norm_(parameters, 1.0, norm)
            optimizer.step()
        peak = _PEAK.search(Path("/proc/self/status").read_text())
        found.append(1024 * int(peak[1]) if peak else 0)
        print(f"{setting}: {found[-1] / GIB:.2f} GiB", file=sys.stderr, flush=True)
    print(json.dumps(found))


def samples(tokens: int) -> list[Any]:
    """Return samples of random tokens that fill a micro-batch; all but the first token of each is supervised."""
    import numpy as np  # noqa: PLC0415 - after the environment

    from worker.training.data.samples import Sample  # noqa: PLC0415

    length, random = tokens // _SAMPLES, np.random.default_rng(0)
    supervised = np.arange(length) > 0
    return [
        Sample(random.integers(0, 1000, length, dtype=np.int32), supervised)
        for _ in range(_SAMPLES)
    ]


def report(result: list[dict[str, Any]]) -> None:
    """Print the table, the worst error, and JSON in the last line."""
    print(f"{os.cpu_count()} virtual cores, no GPU, load {os.getloadavg()[0]:.1f}")
    print(
        f"{'type':<9} {'tokens':>6} {'recomputed':>10} {'predicted':>10} {'measured':>9} {'error':>7}"
    )
    errors = []
    for row in result:
        error = row["predicted"] / row["measured"] - 1
        errors.append(error)
        ours, real = row["predicted"] / GIB, row["measured"] / GIB
        recomputed = "yes" if row["recomputes"] else "no"
        print(
            f"{row['dtype']:<9} {row['tokens']:>6} {recomputed:>10} {ours:>6.2f} GiB {real:>5.2f} GiB {error:>+7.1%}"
        )
    worst = max(errors, key=abs)
    print(f"worst error: {worst:+.1%}")
    print(json.dumps({"rows": result, "worst_error": worst}))


if __name__ == "__main__":
    main()
