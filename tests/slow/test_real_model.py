"""A complete job on real input: a pretrained 0.5B Qwen2 and real instructions, with the service as users run it.

    STEPLINE_TEST_MODEL=DIR STEPLINE_TEST_DATA=FILE ./script/test --slow tests/slow/test_real_model.py

The tests recompute the reported losses with plain transformers and peft, following the documented definitions
(docs/numbers.md) and without any of the worker's code.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    get_cosine_schedule_with_warmup,
)

from tests.e2e.service import Service

pytestmark = [
    pytest.mark.slow,
    # peft 0.21 uses a name that transformers 5 has deprecated.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

ROOT = Path(__file__).parent.parent.parent
STEPS = 3
EVAL_ROWS = 16
MAX_LENGTH = 256
SEED = 42
BATCH = 16


def environment_path(name: str) -> Path:
    if name not in os.environ:
        pytest.fail(f"{name} is not set: the slow tests need a real model and real data")
    return Path(os.environ[name]).resolve()


@dataclass(frozen=True)
class Finished:
    """A finished job, as its user sees it."""

    job: dict[str, Any]
    loss: list[dict[str, Any]]
    summary: dict[str, Any]
    report: str
    adapter: Path
    model: Path
    model_sha256_before: str
    server: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    model, data = environment_path("STEPLINE_TEST_MODEL"), environment_path("STEPLINE_TEST_DATA")
    before = sha256(model / "model.safetensors")
    folder = tmp_path_factory.mktemp("real")
    settings = {"STEPLINE_MODELS_DIR": str(model.parent), "OMP_NUM_THREADS": str(os.cpu_count())}
    with Service(folder / "service", **settings) as service:
        upload = json.loads(curl(f"{service.url}/v1/datasets", "-F", f"file=@{data}"))
        spec = {
            "model": model.name,
            "dataset": {"train": upload["id"], "eval_size": EVAL_ROWS},
            "training": {"max_steps": STEPS, "max_length": MAX_LENGTH},
            # The values computed below are exact only in float32; `auto` chooses bfloat16 where the processor supports it.
            "quantization": {"compute_dtype": "float32"},
        }
        header = ("-H", "Content-Type: application/json")
        job = json.loads(curl(f"{service.url}/v1/jobs", *header, "-d", json.dumps(spec)))
        job_url = f"{service.url}/v1/jobs/{job['id']}"
        while job["status"] in {"queued", "running"}:
            job = json.loads(curl(f"{job_url}?wait=30"))
        assert job["status"] == "succeeded", job["error"]
        archive = folder / "adapter.zip"
        curl(f"{job_url}/artifacts/adapter.zip", "-o", str(archive))
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder / "adapter")
        yield Finished(
            job=job,
            loss=json.loads(curl(f"{job_url}/loss"))["data"],
            summary=json.loads(curl(f"{job_url}/summary")),
            report=curl(f"{job_url}/summary?lang=en", "-H", "Accept: text/plain"),
            adapter=folder / "adapter",
            model=model,
            model_sha256_before=before,
            server=service.url,
        )


def curl(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "-sS", "--fail-with-body", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_the_summary_reports_the_layer_and_parameter_counts_of_the_model(
    finished: Finished,
) -> None:
    summary = finished.summary

    assert summary["quantized_layers"] == 168
    assert summary["trainable_parameters"] == 35_192_832
    assert summary["all_parameters"] == 529_225_600
    assert "35,192,832 of 529,225,600 (6.65%)" in finished.report
    assert summary["perplexity"] == pytest.approx(math.exp(summary["eval_loss"]), rel=1e-12)


def test_the_history_has_one_loss_per_step_without_a_gap(finished: Finished) -> None:
    assert [point["step"] for point in finished.loss] == list(range(1, STEPS + 1))


def test_training_does_not_change_the_base_model_file(finished: Finished) -> None:
    assert sha256(finished.model / "model.safetensors") == finished.model_sha256_before


def test_plain_peft_on_the_same_base_computes_the_same_evaluation_loss(finished: Finished) -> None:
    _, held_out = split_rows()
    base = load_base(finished)
    tuned = PeftModel.from_pretrained(base, finished.adapter)
    tuned.eval()

    total, tokens = 0.0, 0
    with torch.no_grad():
        for row in tokenized(finished.model, held_out):
            loss, count = summed_loss(tuned, [row])
            total, tokens = total + loss.item(), tokens + count

    assert total / tokens == pytest.approx(finished.summary["eval_loss"], abs=1e-4)


def test_plain_transformers_and_peft_compute_the_same_losses_for_steps_one_and_two(
    finished: Finished,
) -> None:
    train, _ = split_rows()
    kept = [row for row in tokenized(finished.model, train) if any(row[1])]
    order = sorted(
        range(len(kept)), key=lambda row: hashlib.sha256(f"{SEED}:0:{row}".encode()).digest()
    )
    samples = [kept[row] for row in order[: 2 * BATCH]]
    base = load_base(finished)
    torch.manual_seed(SEED)
    model = get_peft_model(
        base,
        LoraConfig(r=64, lora_alpha=128, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    model.train()
    weights = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=2e-4, weight_decay=0.0)
    scheduler = get_cosine_schedule_with_warmup(optimizer, 0, STEPS)

    for step in range(2):
        window = samples[step * BATCH : (step + 1) * BATCH]
        tokens = sum(sum(mask) for _, mask in window)
        total = 0.0
        for start in range(0, BATCH, 4):
            loss, _ = summed_loss(model, window[start : start + 4])
            (loss / tokens).backward()  # type: ignore[no-untyped-call]  # untyped in torch
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

        assert total / tokens == pytest.approx(finished.loss[step]["loss"], abs=1e-3)


def test_the_recompute_example_finds_no_difference(finished: Finished) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-I", str(ROOT / "examples" / "recompute.py")),
            *(finished.server, finished.job["id"], str(finished.model)),
            *(str(environment_path("STEPLINE_TEST_DATA")), "--steps", str(STEPS)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "all within tolerance"


def split_rows() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    rows = json.loads(environment_path("STEPLINE_TEST_DATA").read_text())
    order = sorted(
        range(len(rows)), key=lambda row: hashlib.sha256(f"{SEED}:eval:{row}".encode()).digest()
    )
    held_out = set(order[:EVAL_ROWS])
    return (
        [row for place, row in enumerate(rows) if place not in held_out],
        [row for place, row in enumerate(rows) if place in held_out],
    )


def tokenized(model: Path, rows: list[dict[str, str]]) -> list[tuple[list[int], list[bool]]]:
    """Return (token ids, supervision mask) for each row; the answer and its <|im_end|> are supervised."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    samples = []
    for row in rows:
        prompt_text = (
            f"{row['instruction']}\n{row['input']}" if row["input"] else row["instruction"]
        )
        turns = [{"role": "user", "content": prompt_text}]
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        head = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        answer = tokenizer(row["output"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
        tail = tokenizer("\n", add_special_tokens=False)["input_ids"]
        ids = head + answer + tail
        mask = [False] * len(head) + [True] * len(answer) + [False] * len(tail)
        samples.append((ids[:MAX_LENGTH], mask[:MAX_LENGTH]))
    return samples


def load_base(finished: Finished) -> Any:
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=finished.summary["choices"]["double_quant"]["value"],
        bnb_4bit_compute_dtype=torch.float32,
    )
    base = AutoModelForCausalLM.from_pretrained(
        finished.model,
        quantization_config=quantization,
        dtype=torch.float32,
        device_map={"": "cpu"},
    )
    layers = [module for module in base.modules() if isinstance(module, Linear4bit)]
    assert len(layers) == 168
    assert all(layer.weight.dtype is torch.uint8 for layer in layers)
    for layer in layers:
        # On a CPU with AVX512-BF16, the first forward pass without gradients would repack the weights
        # with scales rounded to bf16, which changes the base (docs/numbers.md).
        layer.support_avx512bf16_for_cpu = False
    return base


def summed_loss(model: Any, rows: list[tuple[list[int], list[bool]]]) -> tuple[torch.Tensor, int]:
    """Pad the rows and return the summed NLL and the number of their supervised tokens."""
    length = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [0] * (length - len(row)) for row, _ in rows])
    attention = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row, _ in rows])
    labels = torch.tensor(
        [
            [token if supervised else -100 for token, supervised in zip(row, mask, strict=True)]
            + [-100] * (length - len(row))
            for row, mask in rows
        ]
    )
    logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1].float()
    target = labels[:, 1:]
    loss = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100, reduction="sum")
    return loss, int((target != -100).sum())
