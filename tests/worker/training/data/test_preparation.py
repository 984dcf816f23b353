from pathlib import Path
from typing import Any

import pytest

from contracts.failure import FailureReason
from contracts.run.run_dir import RunDir
from tests.tiny_model import make_rows, write_rows
from tests.worker.training.conftest import small_spec
from worker.training.data.arrays import Sample
from worker.training.data.bounds import Bounds
from worker.training.data.facts import data_warnings
from worker.training.data.order import epoch_order, held_out
from worker.training.data.preparation import prepare
from worker.training.data.prepared import Data
from worker.training.data.rendering.template import Template
from worker.training.errors import TrainingError


def prepared(
    path: Path, tokenizer: Any, rows: list[Any], eval_rows: list[Any] | None = None, **changes: Any
) -> Data:
    run_dir = RunDir(path)
    write_rows(run_dir.train_data, rows)
    if eval_rows is not None:
        write_rows(run_dir.eval_data, eval_rows)
    one_by_one = {"per_device_batch_size": 1, "gradient_accumulation_steps": 1}
    training = one_by_one | changes.pop("training", {})
    return prepare(
        run_dir, small_spec(training=training, **changes), tokenizer, Template(tokenizer)
    )


def trained_text(sample: Sample, tokenizer: Any) -> str:
    text: str = tokenizer.decode(sample.ids[sample.supervised])
    return text


def test_exactly_the_answer_and_its_end_of_turn_token_are_supervised(
    tmp_path: Path, tokenizer: Any
) -> None:
    rows = make_rows(20)

    data = prepared(tmp_path, tokenizer, rows, rows)

    for row, sample in zip(rows, data.train, strict=True):
        assert trained_text(sample, tokenizer) == row["output"] + "<|im_end|>"
        assert row["instruction"] in tokenizer.decode(sample.ids)


def test_every_answer_of_a_chat_is_supervised(tmp_path: Path, tokenizer: Any) -> None:
    chat = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "一"},
            {"role": "assistant", "content": "二 🙂"},
            {"role": "user", "content": "three"},
            {"role": "assistant", "content": "four "},
        ]
    }

    data = prepared(tmp_path, tokenizer, [chat], [chat])

    assert trained_text(data.train[0], tokenizer) == "二 🙂<|im_end|>four <|im_end|>"
    assert data.facts.overlapping_rows == 1


def test_every_token_of_the_last_character_is_supervised(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_end = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    prompt = "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    monkeypatch.setattr(tokenizer, "chat_template", without_end + prompt)
    rows = [{"prompt": "hi", "completion": text} for text in ("yes 🙂", "🙂", "龘")]

    data = prepared(tmp_path, tokenizer, rows, rows)

    assert [trained_text(sample, tokenizer) for sample in data.train] == ["yes 🙂", "🙂", "龘"]


def test_tokens_equal_those_of_the_stock_template(tmp_path: Path, tokenizer: Any) -> None:
    rows = make_rows(5)

    data = prepared(tmp_path, tokenizer, rows, rows)

    for row, sample in zip(rows, data.train, strict=True):
        prompt = row["instruction"] + ("\n" + row["input"] if row["input"] else "")
        stock = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}, {"role": "assistant", "content": row["output"]}],
            return_dict=True,
        )
        assert sample.ids.tolist() == stock["input_ids"]


def test_the_last_supervised_token_is_the_end_of_turn_even_if_it_is_also_the_padding_token(
    tmp_path: Path, tokenizer: Any
) -> None:
    pad = tokenizer.pad_token
    try:
        tokenizer.pad_token = tokenizer.eos_token
        data = prepared(tmp_path, tokenizer, make_rows(3), make_rows(3))
    finally:
        tokenizer.pad_token = pad

    for sample in data.train:
        assert sample.ids[sample.supervised][-1] == tokenizer.eos_token_id


def test_documents_are_joined_and_cut_to_the_length_and_every_token_is_trained(
    tmp_path: Path, tokenizer: Any
) -> None:
    texts = ["one " * 30, "二。", "three " * 9]
    rows = [{"text": text} for text in (texts[0], " \n", texts[1], "", texts[2])]

    data = prepared(tmp_path, tokenizer, rows, rows, training={"max_length": 16})

    joined = [
        token for text in texts for token in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    ]
    assert len(joined) > 32
    assert [sample.ids.tolist() for sample in data.train] == [
        joined[start : start + 16] for start in range(0, len(joined), 16)
    ]
    assert all(sample.supervised_tokens == len(sample) - 1 for sample in data.train)
    assert (data.truncated_rows, data.dropped_rows) == (0, 0)
    assert data.facts.overlapping_rows == data.facts.train.rows == 3


def test_documents_and_conversations_may_be_mixed(tmp_path: Path, tokenizer: Any) -> None:
    chats = make_rows(2)
    rows = [{"text": "one"}, chats[0], {"text": "two"}, chats[1]]

    data = prepared(tmp_path, tokenizer, rows, chats)

    assert [trained_text(sample, tokenizer) for sample in data.train[:2]] == [
        chat["output"] + "<|im_end|>" for chat in chats
    ]
    assert tokenizer.decode(data.train[2].ids) == "one<|im_end|>two<|im_end|>"


def test_rated_rows_need_a_preference_and_only_their_good_answers_are_trained(
    tmp_path: Path, tokenizer: Any
) -> None:
    rows = [
        {"prompt": "a", "chosen": "good", "rejected": "bad"},
        {"prompt": "a", "completion": "fine", "label": True},
        {"prompt": "a", "completion": "poor", "label": False},
    ]

    with pytest.raises(TrainingError, match=r"line 1.*dataset\.preference to chosen_only"):
        prepared(tmp_path, tokenizer, rows, rows)
    chosen = {"dataset": {"train": "ds_01234567", "preference": "chosen_only"}}
    data = prepared(tmp_path, tokenizer, rows, rows, **chosen)

    assert [trained_text(sample, tokenizer) for sample in data.train] == [
        "good<|im_end|>",
        "fine<|im_end|>",
    ]
    assert data.facts.train.rows == 2


def test_text_that_the_template_omits_is_counted_and_reported_as_a_warning(
    tmp_path: Path, tokenizer: Any
) -> None:
    answer = {"role": "assistant", "content": "b", "reasoning_content": "hm"}
    row = {"messages": [{"role": "user", "content": "a"}, answer], "tools": [{"name": "f"}]}

    data = prepared(tmp_path, tokenizer, [row, *make_rows(1)], [row])

    assert data.unwritten == {"tools": 2, "reasoning_content": 2}
    warnings = data_warnings(data.facts, data.unwritten)
    assert "does not render tools, which 2 rows have" in warnings[0]


def test_truncated_rows_and_rows_dropped_for_lack_of_an_answer_are_counted(
    tmp_path: Path, tokenizer: Any
) -> None:
    long_answer = {"instruction": "Count.", "output": "apple " * 200}
    long_prompt = {"instruction": "apple " * 200, "output": "No."}

    data = prepared(
        tmp_path,
        tokenizer,
        [*make_rows(3), long_answer, long_prompt],
        make_rows(1),
        training={"max_length": 128},
    )

    assert len(data.train) == 4
    assert (data.truncated_rows, data.dropped_rows) == (1, 1)
    assert max(len(sample) for sample in data.train) == 128
    assert all(sample.supervised_tokens > 0 for sample in data.train)


def test_the_first_token_is_never_supervised(tmp_path: Path, tokenizer: Any) -> None:
    template = Template(tokenizer)
    template.kind = "plain"
    run_dir = RunDir(tmp_path)
    write_rows(run_dir.train_data, [{"messages": [{"role": "assistant", "content": "apple"}]}] * 2)
    spec = small_spec(training={"per_device_batch_size": 1, "gradient_accumulation_steps": 1})

    data = prepare(run_dir, spec, tokenizer, template)

    assert data.train[0].supervised.tolist()[0] is False
    assert data.train[0].supervised_tokens == len(data.train[0]) - 1


def test_the_order_of_rows_is_the_documented_function_of_seed_and_epoch() -> None:
    assert epoch_order(42, 0, 8) == [2, 5, 6, 3, 7, 4, 0, 1]
    assert epoch_order(42, 1, 8) != epoch_order(42, 0, 8)
    assert epoch_order(7, 0, 8) != epoch_order(42, 0, 8)


def test_held_out_rows_depend_on_the_seed_and_keep_the_order_of_the_file(
    tmp_path: Path, tokenizer: Any
) -> None:
    rows = make_rows(30)
    chosen = held_out(42, 30, 4)

    data = prepared(tmp_path, tokenizer, rows, dataset={"train": "ds_00000000", "eval_size": 4})

    assert chosen == sorted(chosen)
    assert [trained_text(s, tokenizer) for s in data.evaluation] == [
        rows[number]["output"] + "<|im_end|>" for number in chosen
    ]
    kept = [row for number, row in enumerate(rows) if number not in chosen]
    assert [trained_text(s, tokenizer) for s in data.train] == [
        row["output"] + "<|im_end|>" for row in kept
    ]


def test_stop_requests_are_checked_while_rows_are_compared(tmp_path: Path, tokenizer: Any) -> None:
    """Comparing the rows of a 2 GB file takes minutes, which is too long to wait before handling a stop request."""
    polls = 0

    class Counting(Bounds):
        def poll(self) -> None:
            nonlocal polls
            polls += 1

    run_dir = RunDir(tmp_path)
    write_rows(run_dir.train_data, make_rows(1000))

    prepare(run_dir, small_spec(), tokenizer, Template(tokenizer), bounds=Counting())

    assert polls >= 2 * 1000  # once per row while reading, and once while comparing


def test_evaluation_rows_that_are_also_training_rows_are_counted(
    tmp_path: Path, tokenizer: Any
) -> None:
    rows = make_rows(10)

    data = prepared(
        tmp_path, tokenizer, rows, [rows[3], rows[7], {"prompt": "?", "completion": "!"}]
    )

    assert data.facts.overlapping_rows == 2


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (make_rows(3), {"dataset": {"train": "ds_00000000", "eval_size": 3}}, "leaves none"),
        (make_rows(3), {"training": {"per_device_batch_size": 4}}, "one update needs"),
        (make_rows(9), {"training": {"max_length": 8}}, "no answer was left"),
    ],
)
def test_too_few_rows_are_rejected_with_advice(
    tmp_path: Path, tokenizer: Any, rows: list[Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        prepared(tmp_path, tokenizer, rows, **changes)

    assert caught.value.failure.reason is FailureReason.DATASET_TOO_SMALL
    assert message in caught.value.failure.detail
