"""A program that renders rows as a model reads them: `python -m worker.training.preview < REQUEST > RESULT`.

It reads a PreviewTask and writes an ErrandOutcome, both as JSON. The tokens and the mask come from the functions that training uses.
The chat template and the tokenizer are untrusted code, so the worker runs this program in a separate process with limits.
"""

import sys

from processes.arguments import take_no_arguments

if __name__ == "__main__":
    take_no_arguments("worker.training.preview", __doc__)
    # Tokenizers do not need torch, which takes two seconds and 180 MB to import. transformers works without it.
    sys.modules["torch"] = None  # type: ignore[assignment]  # makes the import fail

from collections.abc import Callable
from typing import Any

import numpy as np

from contracts.dataset.conversation import Document, Parsed
from contracts.dataset.row_error import RowError
from contracts.dataset.rows import parse_json, parse_row
from contracts.errands.errand import (
    PreviewedLine,
    PreviewResult,
    PreviewRow,
    PreviewTask,
    PreviewToken,
)
from contracts.failure import FailureReason
from worker.training.confined import Limits, run_confined
from worker.training.data.arrays import Sample
from worker.training.data.bounds import Bounds
from worker.training.data.rendering.template import Template
from worker.training.data.rows import Row
from worker.training.data.tokenization.documents import Joiner
from worker.training.data.tokenization.samples import build_sample, encode_row, whole_sample
from worker.training.errors import TrainingError
from worker.training.model.tokenizer import load_tokenizer

FILE = "dataset"


def preview(task: PreviewTask, bounds: Bounds | None = None) -> PreviewResult:
    """Render the rows of a task. Raises TrainingError if the model's tokenizer or template cannot be used."""
    bounds = bounds or Bounds()
    tokenizer = load_tokenizer(task.model)
    template = Template(tokenizer)
    rows = [_preview_row(each, tokenizer, template, task.max_length, bounds) for each in task.rows]
    return PreviewResult(kind="preview", chat_template=template.kind, rows=rows)


def _preview_row(
    given: PreviewedLine, tokenizer: Any, template: Template, max_length: int, bounds: Bounds
) -> PreviewRow:
    content: Parsed | None = None
    try:
        content = parse_row(parse_json(given.line, given.row + 1), given.row + 1)
        row = Row(FILE, given.row + 1, content)
        text, encoding = encode_row(row, tokenizer, template, bounds)
    except RowError as error:
        return _failed(given.row, content, str(error))
    except TrainingError as error:
        if error.failure.reason is not FailureReason.DATASET_INVALID:
            raise
        return _failed(given.row, content, error.failure.detail)
    if isinstance(content, Document):
        sample, total = _joined(encoding.ids, tokenizer, max_length)
    else:
        sample, total = build_sample(text, encoding, max_length), len(encoding.ids)
    return PreviewRow(
        row=given.row,
        form=content.form,
        truncated=total > len(sample),
        dropped=not content.is_trained or not sample.supervised_tokens,
        total_tokens=total,
        trained_tokens=sample.supervised_tokens,
        tokens=_tokens(sample, text.text, encoding, tokenizer),
        error=None,
    )


def _failed(row: int, content: Parsed | None, error: str) -> PreviewRow:
    return PreviewRow(
        row=row,
        form=content.form if content else None,
        truncated=False,
        dropped=False,
        total_tokens=0,
        trained_tokens=0,
        tokens=[],
        error=error[:2000],
    )


def _joined(ids: list[int], tokenizer: Any, max_length: int) -> tuple[Sample, int]:
    """Return a document's tokens as if it began a sample, with the end-of-text token, over all samples that it fills."""
    joiner = Joiner(max_length, tokenizer.eos_token_id)
    parts = [whole_sample(part) for part in (*joiner.add(ids), *joiner.finish())]
    sample = Sample(
        np.concatenate([np.empty(0, dtype=np.int32), *(part.ids for part in parts)]),
        np.concatenate([np.empty(0, dtype=np.bool_), *(part.supervised for part in parts)]),
    )
    return sample, len(sample)


def _tokens(sample: Sample, text: str, encoding: Any, tokenizer: Any) -> list[PreviewToken]:
    """Return the tokens of a sample, each with its part of the text.

    Several tokens may be bytes of one character. The first of them gets the whole character, the others are marked. Text
    between two tokens belongs to the second one. A token that the tokenizer has added is shown by its name.
    """
    count = len(sample)
    offsets: list[tuple[int, int]] = list(encoding.offsets[:count])
    added = [bool(each) for each in encoding.special_tokens_mask[:count]]
    texts: list[str] = []
    joined: list[bool] = []
    place = 0  # end of the text that has been shown so far
    for number, token_id in enumerate(sample.ids.tolist()):
        start, end = offsets[number] if number < len(offsets) else (0, 0)
        is_added = number >= len(offsets) or (added[number] and start == end)
        if is_added:
            texts.append(str(tokenizer.convert_ids_to_tokens(token_id)))
            joined.append(False)
            continue
        continues = start < place and start < end
        if continues:
            first = next(each for each in range(number - 1, -1, -1) if not joined[each])
            texts[first] += text[place : max(place, end)]
            texts.append("")
        else:
            texts.append(text[place : max(place, end)])
        joined.append(continues)
        place = max(place, end)
    if count == len(encoding.ids) and texts:
        texts[-1] += text[place:]  # trailing spaces that no token covers
    return [
        PreviewToken(id=token_id, text=shown, trained=is_trained, joined=is_joined)
        for token_id, shown, is_trained, is_joined in zip(
            sample.ids.tolist(), texts, sample.supervised.tolist(), joined, strict=True
        )
    ]


def main() -> None:
    """Read the task from stdin and write its outcome to stdout."""

    def start(content: bytes) -> tuple[Limits, Callable[[], PreviewResult]]:
        task = PreviewTask.model_validate_json(content)
        limits = Limits(task.seconds, task.memory_bytes, task.output_bytes)
        return limits, lambda: preview(task)

    run_confined(start)


if __name__ == "__main__":
    main()
