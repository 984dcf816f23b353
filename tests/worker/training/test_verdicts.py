"""Verdicts on real runs, most of which must not be called good, and the figures measured in these runs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from contracts.record import LogRecord
from contracts.run.run_dir import RunDir
from contracts.summary import Summary
from contracts.verdicts.verdict import VerdictCode
from tests.tiny_model import make_rows, write_rows
from tests.worker.training.harness.run_directory import (
    losses,
    make_run_dir,
    outcome_of,
    records,
    run,
    run_here,
    summary_of,
)

# Plain peft 0.21 asks transformers 5 for a property by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

HOLD_OUT = {"dataset": {"train": "ds_00000000", "eval_size": 12}}
SHORT = {"training": {"per_device_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 2}}


@pytest.fixture(scope="module")
def taught_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny model that has learned its task, because a random model cannot get worse than guessing."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    rows = make_rows(200)
    for step in range(30):
        texts = [
            tokenizer.apply_chat_template(
                [
                    {"role": "user", "content": row["instruction"]},
                    {"role": "assistant", "content": row["output"]},
                ],
                tokenize=False,
            )
            for row in rows[step * 6 : step * 6 + 8]
        ]
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    directory = tmp_path_factory.mktemp("models") / "taught"
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_a_run_with_learning_rate_one_half_is_judged_diverged(
    taught_model: Path, tmp_path: Path
) -> None:
    training = {"per_device_batch_size": 4, "gradient_accumulation_steps": 2, "learning_rate": 0.5}
    run_dir = make_run_dir(tmp_path, taught_model, make_rows(76), HOLD_OUT | {"training": training})

    assert run(run_dir).status == "succeeded", run_dir.output.read_text()

    summary = summary_of(run_dir)
    assert summary.first_step_loss == losses(run_dir)[1]
    # The run has fewer than 160 samples, so every step counts as recent.
    assert summary.recent_train_loss == summary.train_loss
    assert codes(summary) >= {VerdictCode.DIVERGED, VerdictCode.WORSE_THAN_BASE}
    assert praised(summary) == []


def test_constant_answers_are_judged_degenerate(tiny_model: Path, tmp_path: Path) -> None:
    rows = [row | {"output": "Yes." + " " * (n % 3)} for n, row in enumerate(make_rows(40))]

    run_dir, summary = train(tmp_path, tiny_model, rows)

    assert summary.data is not None
    assert (summary.data.train.rows, summary.data.train.distinct_rows) == (28, 28)
    assert summary.data.train.distinct_answers == 1
    assert summary.data.evaluation.top_answer_rows == 12
    assert VerdictCode.DEGENERATE_DATA in codes(summary)
    assert praised(summary) == []
    assert any("the training rows hardly vary" in text for text in warnings(run_dir))


def test_identical_rows_are_judged_degenerate_and_leaked(tiny_model: Path, tmp_path: Path) -> None:
    _, summary = train(tmp_path, tiny_model, make_rows(1) * 40)

    assert codes(summary) >= {VerdictCode.DEGENERATE_DATA, VerdictCode.LEAKED_EVALUATION}
    assert praised(summary) == []


def test_an_evaluation_row_that_differs_by_a_trailing_space_is_a_leak(
    tiny_model: Path, tmp_path: Path
) -> None:
    rows = make_rows(40)
    copies = [row | {"output": row["output"] + " "} for row in rows[:12]]

    run_dir, summary = train(tmp_path, tiny_model, rows, copies)

    assert summary.overlapping_rows == 0
    assert summary.data is not None
    assert summary.data.overlapping_rows_normalized == 12
    assert VerdictCode.LEAKED_EVALUATION in codes(summary)
    assert praised(summary) == []
    assert any(
        "12 of 12 evaluation rows are also training rows" in text for text in warnings(run_dir)
    )


def test_varied_held_out_rows_get_a_good_verdict(tiny_model: Path, tmp_path: Path) -> None:
    run_dir, summary = train(tmp_path, tiny_model, make_rows(40))

    assert VerdictCode.IMPROVED in praised(summary)
    assert warnings(run_dir) == []


def train(
    path: Path, model: Path, rows: list[Any], evaluation: list[Any] | None = None
) -> tuple[RunDir, Summary]:
    run_dir = make_run_dir(path, model, rows, HOLD_OUT | SHORT)
    if evaluation is not None:
        write_rows(run_dir.eval_data, evaluation)
    assert run_here(run_dir).status == "succeeded", outcome_of(run_dir)
    return run_dir, summary_of(run_dir)


def codes(summary: Summary) -> set[VerdictCode]:
    return {verdict.code for verdict in summary.verdicts}


def praised(summary: Summary) -> list[VerdictCode]:
    return [verdict.code for verdict in summary.verdicts if verdict.level == "good"]


def warnings(run_dir: RunDir) -> list[str]:
    found = [record for record in records(run_dir) if isinstance(record, LogRecord)]
    return [record.message for record in found if record.level == "warning"]
