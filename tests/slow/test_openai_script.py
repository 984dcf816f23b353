"""A script for OpenAI fine-tunes a real model; only the address and the model's name differ.

    STEPLINE_TEST_MODEL=DIR STEPLINE_TEST_DATA=FILE ./script/test --slow tests/slow/test_openai_script.py

The data are rows with `instruction`, `input` and `output`. The model is one of 0.5B parameters; on two cores the test takes
some minutes.
"""

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.e2e.service import Service
from tests.slow.test_real_model import ROOT, environment_path
from tests.tiny_model import write_rows

pytestmark = [
    pytest.mark.slow,
    # peft 0.21 uses a name that transformers 5 has deprecated.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

ROWS = 40
BATCH = 4


def test_a_script_for_openai_fine_tunes_the_real_model_and_downloads_its_adapter(
    tmp_path: Path,
) -> None:
    model = environment_path("STEPLINE_TEST_MODEL")
    rows = short_rows(environment_path("STEPLINE_TEST_DATA"))
    file, out = write_rows(tmp_path / "train.jsonl", rows), tmp_path / "out"
    settings = {"STEPLINE_MODELS_DIR": str(model.parent), "OMP_NUM_THREADS": str(os.cpu_count())}
    with Service(tmp_path / "service", **settings) as service:
        done = subprocess.run(
            [sys.executable, "-I", ROOT / "examples/openai/fine_tune.py", model.name, file, out],
            env=os.environ | {"OPENAI_BASE_URL": f"{service.url}/v1", "OPENAI_API_KEY": "any"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr + service.logs()

    with (out / "results.csv").open(encoding="utf-8") as text:
        steps = [int(row["step"]) for row in csv.DictReader(text)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= ROWS // BATCH - 1, "some rows may be held out"
    with zipfile.ZipFile(out / "adapter.zip") as adapter:
        adapter.extractall(out / "adapter")
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, out / "adapter").eval()
    encoded = [encode(model, row["messages"]) for row in rows[:BATCH]]
    with torch.no_grad():
        after = sum(tuned(ids, labels=ids).loss.item() for ids in encoded)
        with tuned.disable_adapter():
            before = sum(tuned(ids, labels=ids).loss.item() for ids in encoded)
    assert after < before


def short_rows(data: Path) -> list[Any]:
    """Return the shortest rows in OpenAI's format."""
    given = json.loads(data.read_text(encoding="utf-8"))
    given.sort(key=lambda row: len(row["instruction"] + row["input"] + row["output"]))
    return [
        {
            "messages": [
                {"role": "user", "content": f"{row['instruction']}\n{row['input']}".strip()},
                {"role": "assistant", "content": row["output"]},
            ]
        }
        for row in given[:ROWS]
    ]


def encode(model: Path, messages: list[dict[str, str]]) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(model)
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    return tokenizer(text, return_tensors="pt").input_ids
