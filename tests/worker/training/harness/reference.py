"""Computes the losses independently: with plain transformers and peft, one sample at a time, full logits and no engine code.

It shares only the documented data formats with the engine.
"""

import hashlib
from pathlib import Path
from typing import Any

import bitsandbytes
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    get_scheduler,
    set_seed,
)

MARKED = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
)


def nf4_base(model: Path, *, double_quant: bool = False) -> Any:
    base = AutoModelForCausalLM.from_pretrained(
        model,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=double_quant,
            bnb_4bit_compute_dtype=torch.float32,
        ),
        dtype=torch.float32,
        device_map={"": "cpu"},
    )
    for module in base.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            # The AVX512-BF16 layout rounds the scales to bfloat16.
            module.support_avx512bf16_for_cpu = False
    return base


def tokenize(model: Path, rows: list[dict[str, str]]) -> list[tuple[list[int], list[int]]]:
    """Return (input_ids, labels) of Alpaca rows; labels are -100 except at answers and their end-of-turn tokens."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    out = []
    for row in rows:
        asked = row["instruction"] + ("\n" + row["input"] if row["input"] else "")
        encoded = tokenizer.apply_chat_template(
            [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}],
            chat_template=MARKED,
            return_assistant_tokens_mask=True,
            return_dict=True,
        )
        ids, mask = encoded["input_ids"], encoded["assistant_masks"]
        out.append((ids, [t if m else -100 for t, m in zip(ids, mask, strict=True)]))
    return out


def split(rows: list[Any], seed: int, eval_count: int) -> tuple[list[Any], list[Any]]:
    """Return (training rows, evaluation rows), split as documented."""
    chosen = set(order(f"{seed}:eval", len(rows))[:eval_count])
    kept = [row for number, row in enumerate(rows) if number not in chosen]
    return kept, [rows[number] for number in sorted(chosen)]


def train_losses(
    model: Path, train: list[dict[str, str]], *, seed: int, batch: int, steps: int, total: int
) -> list[float]:
    """Train all linear layers (LoRA r 8, AdamW at 2e-4, cosine schedule, clip 1.0); return the losses of the first steps."""
    set_seed(seed)
    base = nf4_base(model)
    set_seed(seed)
    peft_model = get_peft_model(
        base,
        LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"),
    )
    parameters = [p for p in peft_model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.0)
    schedule = get_scheduler("cosine", optimizer, 0, total)
    samples = tokenize(model, train)
    numbers = order(f"{seed}:0", len(samples))
    losses = []
    for step in range(steps):
        window = [samples[row] for row in numbers[step * batch : (step + 1) * batch]]
        tokens = sum(label != -100 for _, labels in window for label in labels[1:])
        total_loss = torch.zeros(())
        for ids, labels in window:
            loss = _summed_loss(peft_model, ids, labels) / tokens
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            total_loss += loss.detach()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(total_loss.item())
    return losses


@torch.no_grad()
def eval_loss(model: Path, adapter: Path | None, rows: list[dict[str, str]]) -> float:
    """Return the mean NLL of the rows' supervised tokens."""
    loaded = nf4_base(model)
    if adapter is not None:
        loaded = PeftModel.from_pretrained(loaded, adapter)
    loaded.eval()
    samples = tokenize(model, rows)
    tokens = sum(label != -100 for _, labels in samples for label in labels[1:])
    return sum(float(_summed_loss(loaded, *sample)) for sample in samples) / tokens


@torch.no_grad()
def token_accuracy(model: Path, adapter: Path | None, rows: list[dict[str, str]]) -> float:
    """Return the fraction of the rows' supervised tokens that have the largest of all logits."""
    loaded = nf4_base(model)
    if adapter is not None:
        loaded = PeftModel.from_pretrained(loaded, adapter)
    loaded.eval()
    predicted = tokens = 0
    for ids, labels in tokenize(model, rows):
        largest = loaded(input_ids=torch.tensor([ids])).logits[0, :-1].argmax(-1)
        goals = torch.tensor(labels[1:])
        predicted += int((largest == goals).sum())
        tokens += int((goals != -100).sum())
    return predicted / tokens


def _summed_loss(model: Any, ids: list[int], labels: list[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].float()
    return torch.nn.functional.cross_entropy(
        logits, torch.tensor(labels[1:]), ignore_index=-100, reduction="sum"
    )


def order(prefix: str, rows: int) -> list[int]:
    """Return the numbers of the rows in the documented order."""
    return sorted(
        range(rows), key=lambda row: hashlib.sha256(f"{prefix}:{row}".encode()).hexdigest()
    )
