"""Previews of rows show the tokens and the mask that the engine trains on, and the text of the row."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from contracts.dataset.conversation import Form
from contracts.errands.errand import (
    ErrandOutcome,
    PreviewedLine,
    PreviewResult,
    PreviewRow,
    PreviewTask,
)
from contracts.errands.reason import ErrandReason
from tests.chat_templates import QWEN25_LIKE
from tests.tiny_model import make_tokenizer, write_rows
from worker.training.confined import pack
from worker.training.data.arrays import Writer
from worker.training.data.bounds import Bounds
from worker.training.data.rendering.template import Template
from worker.training.data.rows import read_rows
from worker.training.data.tokenization.samples import tokenize
from worker.training.errors import TrainingError
from worker.training.model.tokenizer import load_tokenizer
from worker.training.preview import preview

PAIR = [{"role": "user", "content": "一加一？ 👩‍👩‍👧"}]
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "北京"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
ROWS: dict[Form, Any] = {
    "alpaca": {"instruction": "Name 🍎🍐", "input": " x ", "output": "二 🙂\n\n end "},
    "prompt": {"prompt": "a\u0301 b", "completion": "ﬁ\u200d🙂"},
    "messages": {
        "tools": [TOOL],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "天气？"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "晴 ☀️"},
            {"role": "assistant", "content": "not learned", "weight": 0},
            {"role": "user", "content": "四"},
            {"role": "assistant", "content": "五 "},
        ],
    },
    "sharegpt": {
        "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "你好"}]
    },
    "text": {"text": "北京是中国的首都。 Beijing 🙂 " * 4},
    "preference": {
        "prompt": PAIR,
        "chosen": [{"role": "assistant", "content": "二"}],
        "rejected": [{"role": "assistant", "content": "三"}],
    },
    "kto": {"prompt": "1+1", "completion": "2", "label": True},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a byte-level tokenizer with a chat template that renders tool definitions."""
    directory = tmp_path_factory.mktemp("preview")
    tokenizer = make_tokenizer(["You are a helpful assistant. 北京", "🙂"], vocabulary=300)
    tokenizer.chat_template = QWEN25_LIKE
    tokenizer.save_pretrained(directory)
    return directory


def previewed(model: Path, rows: list[Any], max_length: int = 1024) -> PreviewResult:
    lines = [PreviewedLine(row=place, line=json.dumps(row)) for place, row in enumerate(rows)]
    task = PreviewTask(
        model=model,
        rows=lines,
        max_length=max_length,
        seconds=60,
        memory_bytes=2**40,
        output_bytes=2**30,
    )
    return preview(task)


def engine_tokens(tokenizer: Any, path: Path, row: Any, max_length: int) -> list[tuple[int, bool]]:
    """Return the tokens and the mask that a job trains on for this row, or an empty list if it skips the row."""
    rows = read_rows(write_rows(path, [row]), Bounds(), "chosen_only")
    writer = Writer()
    tokenize(
        rows,
        tokenizer,
        Template(tokenizer),
        max_length=max_length,
        bounds=Bounds(),
        count=lambda *_: None,
        writer=writer,
    )
    return [
        (int(token), bool(trained))
        for sample in writer.finish()
        for token, trained in zip(sample.ids, sample.supervised, strict=True)
    ]


def shown_tokens(row: PreviewRow) -> list[tuple[int, bool]]:
    return [(token.id, token.trained) for token in row.tokens]


@pytest.mark.parametrize("form", ROWS)
def test_the_tokens_and_the_mask_are_those_that_the_engine_trains_on(
    model: Path, tmp_path: Path, form: Form
) -> None:
    tokenizer = load_tokenizer(model)
    for max_length in (1024, 70, 33):
        (row,) = previewed(model, [ROWS[form]], max_length).rows

        trained = engine_tokens(tokenizer, tmp_path / "rows.jsonl", ROWS[form], max_length)

        assert row.form == form
        assert row.dropped is not any(mask for _, mask in trained)
        if not row.dropped:
            assert shown_tokens(row) == trained
        assert row.trained_tokens == sum(mask for _, mask in trained)
        assert row.truncated is (row.total_tokens > len(row.tokens))


def test_labels_of_a_dataset_from_the_hub_are_ratings_only_if_all_of_them_can_be(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "a", "completion": "b", "label": label} for label in (1, 0, 2)]

    write_rows(path, rows[:2])
    assert len(read_rows(path, Bounds(), "chosen_only", is_from_hub=True)) == 1
    with pytest.raises(TrainingError, match="the row rates answers"):
        read_rows(path, Bounds(), is_from_hub=True)
    assert len(read_rows(write_rows(path, rows), Bounds(), is_from_hub=True)) == 3
    assert len(read_rows(write_rows(path, [rows[1]]), Bounds(), is_from_hub=True)) == 1


def test_numbers_as_labels_of_an_uploaded_dataset_are_classes_as_at_its_upload(
    model: Path, tmp_path: Path
) -> None:
    rows = [{"prompt": "a", "completion": "b", "label": label} for label in (1, 0)]

    (first, second) = read_rows(write_rows(tmp_path / "rows.jsonl", rows), Bounds())

    assert [row.content.form for row in (first, second)] == ["prompt", "prompt"]
    assert [row.form for row in previewed(model, rows).rows] == ["prompt", "prompt"]


@pytest.mark.parametrize("place", [1, 3])
def test_the_end_of_turn_token_of_an_empty_answer_is_trained(
    model: Path, tmp_path: Path, place: int
) -> None:
    tokenizer = load_tokenizer(model)
    turns: list[dict[str, Any]] = [
        {"role": role, "content": "1"} for role in ("user", "assistant") * 2
    ]
    turns[place]["content"] = ""
    turns[4 - place] |= {"weight": 0}
    empty = {"messages": turns}

    (row,) = previewed(model, [empty]).rows

    assert (row.error, row.dropped, row.trained_tokens) == (None, False, 1)
    assert [token.text for token in row.tokens if token.trained] == ["<|im_end|>"]
    assert shown_tokens(row) == engine_tokens(tokenizer, tmp_path / "rows.jsonl", empty, 1024)


@pytest.mark.parametrize("form", ROWS)
def test_the_joined_texts_of_the_tokens_equal_the_text_of_the_row(model: Path, form: Form) -> None:
    tokenizer = load_tokenizer(model)

    (row,) = previewed(model, [ROWS[form]]).rows

    shown = "".join(token.text for token in row.tokens)
    # The tokenizer composes accents; the preview shows the row's own characters.
    composed = unicodedata.normalize("NFC", shown)
    assert composed == tokenizer.decode([token.id for token in row.tokens])
    assert "�" not in shown
    assert all(token.text == "" for token in row.tokens if token.joined)
    # Tokens that continue a character have the mask of its first token, so a view can join them. The first token of a
    # document is never trained.
    for one, other in zip(row.tokens[1:], row.tokens[2:], strict=False):
        assert not other.joined or other.trained is one.trained


def test_tokens_that_a_tokenizer_adds_and_text_that_it_omits_are_shown(tmp_path: Path) -> None:
    words = {word: number for number, word in enumerate(["<s>", "</s>", "?", "hello", "you"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="?"
    ).save_pretrained(tmp_path)

    result = previewed(tmp_path, [{"prompt": "hello  new", "completion": " you "}])

    assert result.chat_template == "plain"
    (row,) = result.rows
    assert [token.text for token in row.tokens] == ["<s>", "hello", "  new", "\n you", " </s>"]
    assert [token.trained for token in row.tokens] == [False, False, False, True, True]


def test_a_row_that_cannot_be_trained_does_not_hide_the_others(model: Path) -> None:
    tool_first = {"messages": [{"role": "tool", "content": "x"}, *PAIR]}

    result = previewed(model, [{"x": 1}, ROWS["alpaca"], tool_first])

    assert [row.error is None for row in result.rows] == [False, True, False]
    assert "line 1" in str(result.rows[0].error)
    assert result.rows[1].trained_tokens > 0


def test_a_result_that_is_too_large_is_replaced_by_a_failure(model: Path) -> None:
    outcome = ErrandOutcome(result=previewed(model, [ROWS["alpaca"]]))

    read = ErrandOutcome.model_validate_json(pack(outcome, 10_000))
    refused = ErrandOutcome.model_validate_json(pack(outcome, 500))

    assert read == outcome
    assert refused.failure is not None
    assert refused.failure.reason is ErrandReason.RESULT_TOO_LARGE


def test_a_model_without_a_usable_tokenizer_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{}")

    with pytest.raises(TrainingError, match="tokenizer"):
        previewed(tmp_path, [ROWS["alpaca"]])
