"""Compares the memory that the plan predicts with the memory that real training takes on this machine's CPU.

    python -m benchmarks.memory_plan --model DIR [--tokens 256,512] [--dtypes bfloat16,float32] [--updates 2]
    python -m benchmarks.memory_plan --fake-cuda     # predictions for GPUs, from shapes alone; needs g++, but no GPU

Each setting is trained in one process, which loads the real model, and predicted in another one, which reads only config.json
and the names and shapes of the weights. Settings are the numbers of tokens per micro-batch, and the largest number again with
recomputed activations, for each compute type. The measured value is the peak of the process's resident memory (VmHWM).
The last line is JSON.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import fake_cuda
from benchmarks.fake_cuda.qwen2 import demand_of
from benchmarks.fake_cuda.qwen2 import prepare as prepare_fake
from benchmarks.fake_cuda.qwen2_sizes import SIZES

GIB = 2**30
_SIDES = ("predict", "measure")
_MEMORY = re.compile(r"(VmHWM|RssAnon|RssFile):\s+(\d+) kB")
_SAMPLES = 4
GPU_ROWS = (
    ("0.5B", True, 8705, False),
    ("0.5B", False, 16_384, False),
    ("1.5B", True, 4162, False),
    ("7B", True, 1449, False),
    ("7B", True, 2048, False),
    ("7B", False, 2048, False),
    ("7B", True, 4096, True),
)
"""Size, whether attention uses a mask, tokens, and whether activations are recomputed."""


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    tokens: int
    recomputes: bool


def main() -> None:
    """Run both sides of each compute type; print a table and JSON."""
    options = arguments()
    if options.fake_cuda:
        predict_for_gpus(options.rank)
        return
    if options.side:
        side = predict if options.side == "predict" else measure
        side(options)
        return
    result = []
    for dtype in options.dtypes.split(","):
        for setting in settings(options):
            predicted, measured = (run_side(side, dtype, setting, options) for side in _SIDES)
            row = {"dtype": dtype, "predicted": predicted, "measured": measured}
            result.append(row | vars(setting))
    report(result)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", type=Path, help="a model directory")
    what.add_argument("--fake-cuda", action="store_true", help="only predict, for GPUs")
    parser.add_argument("--tokens", default="256,512", help="per micro-batch")
    parser.add_argument("--dtypes", default="bfloat16,float32")
    parser.add_argument("--updates", type=int, default=2, help="number of updates for each setting")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--recompute", action="store_true", help="used by this program itself")
    parser.add_argument("--side", choices=_SIDES, help="used by this program itself")
    return parser.parse_args()


def settings(options: argparse.Namespace) -> list[Setting]:
    """Return the settings of each compute type."""
    tokens = [int(number) for number in options.tokens.split(",")]
    kept = [Setting(number, recomputes=False) for number in tokens]
    return [*kept, Setting(tokens[-1], recomputes=True)]


def run_side(side: str, dtype: str, setting: Setting, options: argparse.Namespace) -> int:
    """Run one side of a setting in its own process; return the bytes."""
    arguments = ["--model", str(options.model), "--tokens", str(setting.tokens), "--dtypes", dtype]
    arguments += ["--updates", str(options.updates), "--rank", str(options.rank), "--side", side]
    arguments += ["--recompute"] if setting.recomputes else []
    command = [sys.executable, "-m", "benchmarks.memory_plan", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.splitlines()[-1])


def prepare(options: argparse.Namespace) -> tuple[Any, Any]:
    """Import the training program's modules; return the spec and the device."""
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
    """Print the plan's prediction for a setting in bytes, without reading any weights."""
    spec, device = prepare(options)
    from worker.training.memory.plan import predict_bytes  # noqa: PLC0415 - after the environment

    batch = samples(int(options.tokens))
    found = predict_bytes(options.model, spec, device, batch, recomputes=options.recompute)
    whole, resident, step = (f"{part / GIB:.2f} GiB" for part in found)
    print(f"whole {whole}, resident {resident}, step {step}", file=sys.stderr, flush=True)
    print(found[0])


def measure(options: argparse.Namespace) -> None:
    """Train a setting; print the peak of the resident memory, in bytes."""
    spec, device = prepare(options)
    import torch  # noqa: PLC0415 - after the environment

    from worker.training.data.batches import pack  # noqa: PLC0415
    from worker.training.learning.loss import sum_nll  # noqa: PLC0415
    from worker.training.learning.optim import build_optimizer  # noqa: PLC0415
    from worker.training.model.load import load_model  # noqa: PLC0415

    model = load_model(options.model, spec, device)
    parameters = model.adapter_parameters
    optimizer = build_optimizer(parameters, spec.training)
    if options.recompute:
        model.checkpoint_activations()
    tokens = int(options.tokens)
    (batch,) = pack(samples(tokens), tokens)
    for _ in range(options.updates):
        model.train()
        optimizer.zero_grad(set_to_none=False)
        sum_nll(model, batch).backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        torch.nn.utils.clip_grads_with_norm_(parameters, 1.0, norm)
        optimizer.step()
        status = Path("/proc/self/status").read_text()
        parts = {name: int(kib) / 2**20 for name, kib in _MEMORY.findall(status)}
        print({name: f"{gib:.2f} GiB" for name, gib in parts.items()}, file=sys.stderr, flush=True)
    print(int(parts["VmHWM"] * GIB))


def predict_for_gpus(rank: int) -> None:
    """Print the predicted memory of Qwen2's sizes on fake CUDA tensors. Attention runs with a mask (SDPA) or without one (varlen)."""
    fake_cuda.enable()
    prepare_fake()
    from worker.training.memory.demand import Shape  # noqa: PLC0415 - after the fake device

    print("fake CUDA tensors, bfloat16, LoRA rank", rank)
    print(
        f"{'model':<6} {'attention':<9} {'tokens':>6} {'recomputed':>10} {'resident':>9} {'step':>6}  s"
    )
    for size, masked, tokens, recomputes in GPU_ROWS:
        started = time.process_time()
        longest = -(-tokens // 16)
        shape = Shape(
            longest=longest,
            window=tokens,
            supervised=0.5,
            longest_supervised=longest // 2,
            most_supervised=tokens // 2,
        )
        with demand_of(SIZES[size], rank, shape, masked=masked) as demand:
            step = demand.step_bytes(tokens, recomputes=recomputes)
        print(
            f"{size:<6} {'sdpa' if masked else 'varlen':<9} {tokens:>6} {'yes' if recomputes else 'no':>10} "
            f"{demand.resident_bytes / GIB:>9.2f} {step / GIB:>6.2f}  {time.process_time() - started:.1f}",
            flush=True,
        )


def samples(tokens: int) -> list[Any]:
    """Return samples of random tokens that fill a micro-batch; all but the first token of each is supervised."""
    import numpy as np  # noqa: PLC0415 - after the environment

    from worker.training.data.arrays import Sample  # noqa: PLC0415

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
