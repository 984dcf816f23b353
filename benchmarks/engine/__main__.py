"""Compares Stepline's engine with plain transformers and TRL, on the same rows with the same masks in the same order.

    python -m benchmarks.engine --model DIR --data FILE [--peers trainer,trl,unsloth,llamafactory] [--updates 2] [--pairs 1]
    python -m benchmarks.engine --model make --data FILE      # a small body with Qwen2's full vocabulary
    python -m benchmarks.engine --model DIR --data FILE --ranks 2 --peers ''      # one rank against two

Each side runs in its own process. The sides alternate, and the benchmark reports medians. The last line is JSON. Loading and
evaluation are excluded on both sides: tokens per second are real tokens (prompts included, padding excluded) of the
measured updates ÷ the seconds from an update's first row to its end. Memory is the peak of the process or, on a GPU, of
the device; with several ranks, that of rank 0.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.engine.peers import (
    OPTIONAL,
    PROGRAMS,
    PeerNotFoundError,
    add_options,
    given,
    last_line,
)
from benchmarks.engine.sides import Run, read_rows, run_ours, run_peer
from benchmarks.peers.roofline import tokens_per_second_limit
from benchmarks.peers.windows import Plan
from contracts.job import JobSpec
from contracts.summary import Summary


@dataclass
class Side:
    """The runs of one side."""

    name: str
    runs: list[Run] = field(default_factory=list)

    @property
    def tokens_per_second(self) -> float:
        """The median over the runs, counting all updates."""
        return self.tokens_per_second_of(len(self.runs[0].seconds))

    def tokens_per_second_of(self, updates: int) -> float:
        """Return the median over the runs, counting the first `updates` updates of each."""
        return statistics.median(run.tokens_per_second_of(updates) for run in self.runs)

    @property
    def peak_bytes(self) -> float:
        """The median over the runs."""
        return statistics.median(run.peak_bytes for run in self.runs)


def main() -> None:
    """Run the sides alternately; print a table and JSON."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = options.model == "make"
        model = make_model(folder, options.data) if made else Path(options.model).resolve()
        spec = make_spec(model, options)
        summary, plan, ours = run_ours(folder / "plan", model, options.data, spec)
        sides = {"stepline": Side("stepline", [ours])}
        several = f"{options.ranks} ranks"
        sides |= {peer: Side(peer) for peer in options.peers}
        if options.ranks > 1:
            sides[several] = Side(several)
        for pair in range(options.pairs):
            if pair:
                again = run_ours(folder / f"ours-{pair}", model, options.data, spec)[2]
                sides["stepline"].runs.append(again)
            if options.ranks > 1:
                path = folder / f"ranks-{pair}"
                run = run_ours(path, model, options.data, spec, options.ranks)[2]
                sides[several].runs.append(run)
            for peer in options.peers:
                ran = run_installed(peer, plan, folder, options)
                if ran is not None:
                    sides[peer].runs.append(ran)
        measured = [side for side in sides.values() if side.runs]
        report(measured, summary, tokens_per_second_limit(plan, summary))


def run_installed(peer: str, plan: Plan, folder: Path, options: argparse.Namespace) -> Run | None:
    """Run a peer. If it is an optional one that is missing or fails, print why in one line and return None."""
    try:
        run = run_peer(peer, plan, folder, given(options))
    except PeerNotFoundError as missing:
        print(f"{peer}: {missing}")
        return None
    except SystemExit as failed:
        if peer not in OPTIONAL:
            raise
        print(f"{peer}: failed: {last_line(str(failed))}")
        return None
    if run.differences:
        print(f"{peer} differs from the recipe: {'; '.join(run.differences)}")
    return run


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="a model directory, or 'make'")
    parser.add_argument("--data", required=True, type=Path, help="a dataset file (JSON or JSONL)")
    parser.add_argument(
        "--peers", default=["trainer"], type=_peers, help=f"of {', '.join(PROGRAMS)}"
    )
    add_options(parser)
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=1, help="runs of each side")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument(
        "--engine", type=json.loads, default={}, help="JSON for the spec's `engine` field"
    )
    parser.add_argument("--ranks", type=int, default=1, help="also run with this number of ranks")
    parser.add_argument("--double-quant", action="store_true")
    parser.add_argument("--compute-dtype", choices=["auto", "bfloat16", "float32"], default="auto")
    return parser.parse_args()


def _peers(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return names


def make_spec(model: Path, options: argparse.Namespace) -> JobSpec:
    """Return the reference recipe for a few updates, with one row held out."""
    return JobSpec.model_validate(
        {
            "model": model.name,
            "dataset": {"train": "ds_00000000", "eval_size": 1},
            "quantization": {
                "double_quant": options.double_quant,
                "compute_dtype": options.compute_dtype,
            },
            "lora": {"rank": options.rank, "alpha": 2 * options.rank},
            "training": {"max_steps": options.updates, "max_length": options.max_length},
            "engine": options.engine,
        }
    )


def make_model(folder: Path, data: Path) -> Path:
    """Create a small Qwen2 with random weights, the full vocabulary (151,936), and a tokenizer trained on the data."""
    import torch  # noqa: PLC0415 - slow to import
    from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: PLC0415

    from tests.tiny_model import make_tokenizer  # noqa: PLC0415

    path = folder / "small-body-qwen2"
    texts = [json.dumps(row, ensure_ascii=False) for row in read_rows(data)]
    make_tokenizer(texts, vocabulary=20_000).save_pretrained(path)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(path)
    return path


def report(sides: list[Side], summary: Summary, limit: float) -> None:
    """Print the table, the losses side by side, and JSON in the last line."""
    ours = sides[0]
    print(f"device: {summary.device}  choices: {json.dumps(summary.choices, ensure_ascii=False)}")
    print(f"{'side':<10} {'tokens/s':>9} {'peak GB':>8}  losses")
    for side in sides:
        losses = " ".join(f"{loss:.6f}" for loss in side.runs[0].losses)
        print(
            f"{side.name:<10} {side.tokens_per_second:>9.1f} {side.peak_bytes / 1e9:>8.2f}  {losses}"
        )
    share = ours.tokens_per_second / limit
    print(
        f"limit with matrix multiplications at peak speed: {limit:.1f} tokens/s; Stepline reaches {share:.0%}"
    )
    ratios, differences = {"tokens_per_second_vs_limit": share}, {}
    for side in sides[1:]:
        updates = len(side.runs[0].seconds)  # a slow peer runs fewer: compare the same updates
        ratios[f"tokens_per_second_vs_{side.name}"] = (
            ours.tokens_per_second_of(updates) / side.tokens_per_second
        )
        ratios[f"memory_vs_{side.name}"] = ours.peak_bytes / side.peak_bytes
        pairs = zip(ours.runs[0].losses, side.runs[0].losses, strict=False)  # the same updates
        differences[side.name] = max(abs(a - b) for a, b in pairs)
    result = {
        side.name: {
            "tokens_per_second": side.tokens_per_second,
            "peak_bytes": side.peak_bytes,
            "losses": side.runs[0].losses,
        }
        for side in sides
    }
    print(json.dumps(result | {"ratios": ratios, "largest_loss_differences": differences}))


if __name__ == "__main__":
    main()
