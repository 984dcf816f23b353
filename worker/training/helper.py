"""A program that renders and encodes rows for the training program: `python -m worker.training.helper MODEL MAX_LENGTH DATE`."""

import sys

if __name__ == "__main__":
    # Tokenizers do not need torch, which takes two seconds and 180 MB to import. transformers works without it.
    sys.modules["torch"] = None  # type: ignore[assignment]  # makes the import fail

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from pathlib import Path

from worker.training.data.bounds import Bounds
from worker.training.data.rendering.template import Template
from worker.training.data.tokenization.helpers import serve
from worker.training.data.tokenization.samples import make_rows
from worker.training.model.tokenizer import load_tokenizer


def main(model: str, max_length: str, date: str) -> None:
    """Answer batches from stdin on stdout. All other output goes to stderr."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each helper has one processor
    tokenizer = load_tokenizer(Path(model))
    make = partial(
        make_rows,
        tokenizer=tokenizer,
        template=Template(tokenizer, datetime.fromisoformat(date) if date else None),
        max_length=int(max_length),
        bounds=Bounds(),
        encoder=ThreadPoolExecutor(1, "encoder"),
    )
    with os.fdopen(stdout, "wb") as out:
        serve(make, sys.stdin.buffer, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
