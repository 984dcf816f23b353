"""Models with the shapes of Qwen2 and random weights, and rows to train them on.

python -m benchmarks.gpu.shapes NAME DIRECTORY     # writes the model of this name
"""

import json
import random
import subprocess
import sys
from pathlib import Path

from benchmarks.fake_cuda.qwen2_sizes import SIZES, Size

VOCABULARY = 20_000
"""Vocabulary size of the tokenizer; that of the model is larger, as in Qwen2, whose embeddings have unused entries."""
ROWS = 2_000
_WORDS = 4_000
_SENTENCE = (6, 14)
"""Minimum and maximum number of words in a sentence."""


SHAPES = {
    "tiny": Size(128, 256, 2, 4, 2, vocabulary=VOCABULARY),
    **{name: SIZES[name] for name in ("0.5B", "1.5B", "7B")},
}
"""`tiny` tests the benchmark itself; the others are the published sizes of Qwen2."""


def make_model(name: str, folder: Path) -> Path:
    """Write the model of this name, in bfloat16, and its tokenizer, unless they exist; return their directory.

    A child process makes the model, so that this one imports no torch. Raises SystemExit with the end of its output if it fails.
    """
    path = folder / f"qwen2-{name}"
    whole = path / "tokenizer.json"  # written last
    if whole.exists():
        return path
    command = [sys.executable, "-m", "benchmarks.gpu.shapes", name, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-4000:] or f"exit status {done.returncode}")
    return path


def write_model(name: str, path: Path) -> None:
    """Write the model of this name and its tokenizer, in the child process."""
    import torch  # noqa: PLC0415 - only in the child
    from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: PLC0415

    from tests.tiny_model import make_tokenizer  # noqa: PLC0415

    torch.manual_seed(0)
    config = Qwen2Config(**SHAPES[name].config())
    # On the CPU, because the GPU may be too small for the weights in bfloat16.
    model = Qwen2ForCausalLM._from_config(config, dtype=torch.bfloat16)  # noqa: SLF001  # the only way to choose the dtype
    model.save_pretrained(path)
    tokenizer = make_tokenizer(texts(200), vocabulary=VOCABULARY)
    tokenizer.save_pretrained(path)


def make_rows(path: Path) -> Path:
    """Write rows in Alpaca format, whose lengths vary as in instruction data: most are short, a few are long."""
    chance = random.Random(0)  # noqa: S311  # no secret
    rows = [
        {
            "instruction": _text(chance, chance.randint(1, 4)),
            "input": "",
            "output": _text(chance, min(60, 1 + int(chance.expovariate(1 / 8)))),
        }
        for _ in range(ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(count: int) -> list[str]:
    """Return texts to train the tokenizer on."""
    chance = random.Random(1)  # noqa: S311  # no secret
    return [_text(chance, 20) for _ in range(count)]


def _text(chance: random.Random, sentences: int) -> str:
    return " ".join(
        " ".join(f"w{chance.randrange(_WORDS)}" for _ in range(chance.randint(*_SENTENCE))) + "."
        for _ in range(sentences)
    )


if __name__ == "__main__":
    write_model(sys.argv[1], Path(sys.argv[2]))
