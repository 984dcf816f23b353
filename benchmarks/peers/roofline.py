"""The speed that a machine would reach if training consisted only of matrix multiplications at peak speed."""

import json
from pathlib import Path

from benchmarks.peers.device import find_peak_flops
from benchmarks.peers.windows import Plan
from contracts.summary import Summary


def tokens_per_second_limit(plan: Plan, summary: Summary) -> float:
    """Return the tokens per second that this machine would reach if it only multiplied matrices, at peak speed."""
    return find_peak_flops(plan.compute_dtype) / flops_per_token(plan, summary)


def flops_per_token(plan: Plan, summary: Summary) -> float:
    """Return the floating-point operations of an update's matrix multiplications, per token.

    Each frozen weight of the body takes 2 forward and 2 backward (it has no weight gradient), and each weight of the
    adapter takes 6. Each weight of the head, which is frozen too, takes 4 (its logits are computed only once), and only on
    supervised tokens.
    """
    config = json.loads((Path(plan.model) / "config.json").read_text())
    head = config["vocab_size"] * config["hidden_size"]
    embeddings = head if config.get("tie_word_embeddings") else 2 * head
    adapter = summary.trainable_parameters
    body = summary.all_parameters - adapter - embeddings
    supervised = sum(label != -100 for row in plan.rows for label in row["labels"])
    return float(4 * body + 6 * adapter + 4 * head * supervised / sum(plan.tokens))
