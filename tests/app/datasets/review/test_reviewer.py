"""The checks of a review: what each reports, and what it must not report."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.datasets.review.checks.copies import count_common
from app.datasets.review.findings import Finding, Review, WarningCode
from app.datasets.review.reviewer import SAMPLED_BLOCK, review_rows

TOPICS = (
    "trains",
    "rivers",
    "bread",
    "clouds",
    "violins",
    "cells",
    "maps",
    "stars",
    "bees",
    "glass",
)
VERBS = (
    "describe",
    "compare",
    "explain",
    "measure",
    "draw",
    "teach",
    "count",
    "sort",
    "question",
    "test",
)
GITHUB = "ghp_" + "Ab3dEf9hIjKlMn0pQrStUvWxYz25A7c8G4k6"


def alpaca(question: str, answer: str) -> dict[str, Any]:
    return {"instruction": question, "input": "", "output": answer}


def different_rows(count: int) -> list[dict[str, Any]]:
    """Return English rows that share few words."""
    return [
        alpaca(
            f"{VERBS[n % 10]} {TOPICS[n // 10 % 10]} for group {n}",
            " ".join(
                f"{TOPICS[(n * 7 + k) % 10]} {VERBS[(n * 3 + k * k) % 10]} item{n * k + k}"
                for k in range(8)
            ),
        )
        for n in range(count)
    ]


def review(rows: Sequence[object]) -> Review:
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    reviewed = review_rows(lines, len(rows))
    assert reviewed is not None
    return reviewed.review


def find(rows: Sequence[object]) -> dict[WarningCode, Finding]:
    return {finding.code: finding for finding in review(rows).findings}


def test_ordinary_rows_get_no_warning() -> None:
    assert find(different_rows(60)) == {}


def test_rows_that_differ_only_in_case_and_spaces_are_duplicates() -> None:
    rows = [
        *different_rows(5),
        alpaca("What is a tree?", "A plant"),
        alpaca("what is  a tree?", "a PLANT "),
    ]

    found = find(rows)

    assert found.keys() == {WarningCode.DUPLICATES}
    place = found[WarningCode.DUPLICATES].places[0]
    assert (place.row, place.same_as_row) == (7, 6)
    assert review(rows).statistics.rows_with_copies == 2


def test_rows_of_different_formats_with_the_same_turns_are_duplicates() -> None:
    chat = {
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    }

    assert find([alpaca("Hi", "Yes"), chat])[WarningCode.DUPLICATES].rows == 1


@pytest.mark.parametrize("separator", [" ", ""])
def test_rows_that_differ_in_one_word_are_near_duplicates(separator: str) -> None:
    words = [chr(0x4E00 + n) if separator == "" else f"word{n}" for n in range(120)]
    changed = [*words[:60], "x", *words[61:]]
    rows = [
        *different_rows(3),
        alpaca("q", separator.join(words)),
        alpaca("q", separator.join(changed)),
    ]

    found = find(rows)

    place = found[WarningCode.NEAR_DUPLICATES].places[0]
    assert (place.row, place.same_as_row) == (5, 4)


def test_rows_that_share_only_a_template_are_not_near_duplicates() -> None:
    lead = "Classify the sentiment of the following review as positive, negative or neutral.\nAnswer with one word only.\n"
    rows = [alpaca(lead + row["output"], "positive") for row in different_rows(60)]

    assert WarningCode.NEAR_DUPLICATES not in find(rows)


def test_rows_that_share_three_quarters_of_their_words_are_not_near_duplicates() -> None:
    lead = " ".join(f"lead{n}" for n in range(75))
    tails = [" ".join(f"row{n}word{k}" for k in range(12)) for n in range(150)]

    assert WarningCode.NEAR_DUPLICATES not in find([alpaca(lead, tail) for tail in tails])


def test_begin_and_end_tokens_count_only_at_the_edges_of_a_text() -> None:
    rows = [alpaca("<s> q", "a"), alpaca("q", "a </s>"), alpaca("q", "a <s>b</s> c")]

    assert find(rows)[WarningCode.SPECIAL_TOKENS].found == {"<s>": 1, "</s>": 1}


def test_an_empty_answer_is_found_in_its_field() -> None:
    rows = [
        alpaca("q", " \n"),
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": ""},
                {"role": "user", "content": ""},
                {"role": "assistant", "content": "b"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": " ", "weight": 0},
                {"role": "assistant", "content": "b"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
                },
            ]
        },
    ]

    places = find(rows)[WarningCode.EMPTY_ANSWERS].places

    assert [(place.row, place.field) for place in places] == [
        (1, "output"),
        (2, "messages[1].content"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "cafÃ© au lait",
        "itâ€™s late",
        "\ufffd\ufffd",
        "ä½ å¥½ï¼Œä¸–ç•Œ",
        "锟斤拷",
        "浣犲ソ锛屼笘鐣岋紒锛",
        "ÐŸÑ€Ð¸Ð²ÐµÑ‚",
    ],
)
def test_wrongly_decoded_text_is_garbled(text: str) -> None:
    place = find([alpaca("q", f"So: {text}")])[WarningCode.GARBLED_TEXT].places[0]

    assert place.field == "output"


@pytest.mark.parametrize(
    "text",
    [
        "Ça coûte 3 €, « né à Angoulême »",
        "SÃO PAULO – AMANHÃ!",
        "你好，世界！",
        "Привет, мир",
        "Größe ±5°",
        "naïve café’s",
        "日本語、テスト。",
    ],
)
def test_correct_text_in_other_languages_is_not_garbled(text: str) -> None:
    assert WarningCode.GARBLED_TEXT not in find([alpaca("q", text)])


@pytest.mark.parametrize(
    "token",
    [
        "<|im_end|>",
        "<|endoftext|>",
        "[/INST]",
        "<end_of_turn>",
        "<｜end▁of▁sentence｜>",
        "<|start_header_id|>",
    ],
)
def test_special_tokens_are_found_in_any_turn(token: str) -> None:
    rows = [
        {
            "conversations": [
                {"from": "human", "value": f"a {token} b"},
                {"from": "gpt", "value": "c"},
            ]
        }
    ]

    finding = find(rows)[WarningCode.SPECIAL_TOKENS]

    assert finding.found == {token: 1}
    assert finding.places[0].field == "conversations[0].value"


@pytest.mark.parametrize(
    "text",
    ["a < b | c > d", "x <|y|", "[1, 2]", "was <s>old</s>, now new", "f<T>(x)", "a |> b <| c"],
)
def test_symbols_of_code_and_html_are_not_special_tokens(text: str) -> None:
    assert WarningCode.SPECIAL_TOKENS not in find([alpaca("q", text)])


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I do not have feelings.",
        "I'm sorry, but I cannot assist with that request.",
        "I’m sorry, I can’t help you with this.",
        "作为一个人工智能语言模型，我无法提供个人意见。",
        "抱歉，我无法回答这个问题。",
        "由于我是一个人工智能助手，所以我并不能做这件事。",
    ],
)
def test_refusals_are_found_in_answers(answer: str) -> None:
    assert find([alpaca("q", answer)])[WarningCode.REFUSALS].places[0].field == "output"
    assert WarningCode.REFUSALS not in find([alpaca(answer, "An answer.")])


@pytest.mark.parametrize(
    "answer",
    [
        "AI language models are trained on text.",
        "作为人工智能领域的重要分支，机器学习发展很快。",
        "I'm sorry to hear that your order is late. I will check it.",
        "很抱歉听到这个消息。",
        "He said that he cannot assist us.",
    ],
)
def test_answers_about_ai_and_polite_answers_are_not_refusals(answer: str) -> None:
    assert WarningCode.REFUSALS not in find([alpaca("q", answer)])


def test_rows_in_another_script_than_the_rest_differ() -> None:
    rows = [
        alpaca(
            f"第{n}题：请介绍这座城市的历史与文化", f"这座城市有{n}年的历史，文化十分丰富，值得一游"
        )
        for n in range(40)
    ]
    rows.insert(
        7, alpaca("Describe the history of this city", "The city is very old and worth a visit.")
    )
    rows.insert(
        9,
        alpaca(
            "请写一个计算平方的函数，并说明它的用法",
            "```python\ndef square_of_number(value):\n    return value * value\n```",
        ),
    )

    found = find(rows)[WarningCode.OTHER_LANGUAGE]

    assert (found.rows, found.found, found.places[0].row) == (1, {"latin": 1}, 8)


def test_datasets_in_two_languages_have_no_rows_that_differ() -> None:
    rows = [
        alpaca(f"这是第{n}个问题，请认真回答它吧", "好的，这就是问题的答案，请看一看")
        for n in range(20)
    ]

    assert WarningCode.OTHER_LANGUAGE not in find([*rows, *different_rows(20)])


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        (GITHUB, "github_token"),
        ("AKIA" + "Q3EHBD5KXM7RWZ2P", "aws_access_key"),
        ("sk-proj-" + "Xy7_kQ2mNv9-PzL4tRw8BsD3fGh6JcVa5eUiOn1Mq0ZxC", "openai_api_key"),
        ("hf_" + "QwErTyUiOpAsDfGhJkLzXcVbNmPoIuYtRe", "hugging_face_token"),
        ("LTAI" + "5tKq8Zr3WmXv9BdN2c", "alibaba_access_key"),
        ("-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq9xY2hV5n" * 4, "private_key"),
    ],
)
def test_secrets_are_reported_by_kind_and_place_but_never_by_their_text(
    secret: str, kind: str
) -> None:
    found = review([alpaca("How?", f"Set the variable to {secret} and run.")])

    (finding,) = found.findings
    assert (finding.code, finding.found) == (WarningCode.SECRETS, {kind: 1})
    assert (finding.places[0].field, finding.places[0].found) == ("output", kind)
    assert secret[10:30] not in found.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_your_token_here",
        "The header is -----BEGIN PRIVATE KEY----- and a footer.",
        "task-0123456789abcdef0123456789abcdef",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_placeholders_and_hashes_are_not_secrets(text: str) -> None:
    assert WarningCode.SECRETS not in find([alpaca("q", text)])


def test_statistics_count_turns_characters_and_trained_parts() -> None:
    rows = [
        {
            "messages": [
                {"role": "system", "content": "x" * 10},
                {"role": "user", "content": "问" * 20},
                {"role": "assistant", "content": "y" * 30, "weight": 0},
                {"role": "user", "content": "z" * 10},
                {"role": "assistant", "content": "w" * 30},
            ]
        },
        {"text": "t" * 900},
    ]

    statistics = review(rows).statistics

    assert (statistics.turns, statistics.characters, statistics.trained_characters) == (
        6,
        1000,
        930,
    )
    assert statistics.trained_share == pytest.approx(0.93)
    assert statistics.roles == {"system": 10, "user": 30, "assistant": 960}
    lengths = statistics.lengths
    assert (lengths.shortest, lengths.p50, lengths.p90, lengths.longest) == (100, 100, 900, 900)
    assert [
        (each.from_characters, each.to_characters, each.rows) for each in lengths.histogram
    ] == [
        (100, 200, 1),
        (200, 500, 0),
        (500, 1000, 1),
    ]


def test_a_large_dataset_is_compared_in_blocks_of_consecutive_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.datasets.review.reviewer.SAMPLED_ROWS", 2 * SAMPLED_BLOCK)
    rows = different_rows(4 * SAMPLED_BLOCK)

    found = review(rows)

    assert (found.reviewed_rows, found.compared_rows) == (400, 200)


def test_a_review_that_runs_out_of_time_covers_the_rows_read_so_far() -> None:
    lines = [json.dumps(row).encode() + b"\n" for row in different_rows(600)]

    reviewed = review_rows(lines, 600, lambda: True)

    assert reviewed is not None
    assert 0 < reviewed.review.reviewed_rows < 600


def test_counts_cover_all_rows_but_only_the_first_places_are_listed() -> None:
    finding = find([alpaca(f"q{n}", f"{n} <|im_end|>") for n in range(9)])[
        WarningCode.SPECIAL_TOKENS
    ]

    assert (finding.rows, len(finding.places)) == (9, 5)


def hashes(rows: list[dict[str, Any]]) -> bytes:
    reviewed = review_rows([json.dumps(row).encode() for row in rows], len(rows))
    assert reviewed is not None
    return reviewed.hashes


def test_common_rows_of_two_datasets_are_counted_by_their_hashes() -> None:
    rows = different_rows(30)

    assert count_common(hashes(rows[:20]), hashes([*rows[15:], *rows[15:17]])) == (5, True)


def test_common_rows_of_large_datasets_are_estimated_from_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [alpaca(f"question {n}", "answer") for n in range(1200)]
    small = hashes(rows[:600])
    monkeypatch.setattr("app.datasets.review.checks.copies.MOST_STORED", 500)
    large = hashes(rows)

    assert len(large) <= 501 * 8
    common, is_exact = count_common(small, large)
    assert not is_exact
    assert 400 < common < 800
    assert count_common(large, small) == (common, is_exact)


def test_hostile_rows_are_reviewed_like_any_other() -> None:
    nested = "[" * 90 + '"<|im_end|>"' + "]" * 90
    rows = [
        {"instruction": "a", "output": "b <|im_end|>", "x": json.loads(nested), "y": "[{" * 5000},
        {"instruction": "\0", "output": "\u202e<｜\u202e\0｜>", "\u202ekey": "<|im_end|>"},
        {"messages": nested, "instruction": "a", "output": "[{" + "[" * 3000},
        {"unknown": 1},
    ]
    lines = [json.dumps(row).encode() for row in rows] + [b"9" * 5000, b"[" * 5000, b"not JSON"]

    reviewed = review_rows(lines, len(lines))

    assert reviewed is not None
    assert reviewed.review.reviewed_rows == 7
    (finding,) = (each for each in reviewed.review.findings if each.code == "special_tokens")
    assert (finding.rows, finding.places[0].field) == (1, "output")
