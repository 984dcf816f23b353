"""Special tokens and wrongly decoded text: what is reported, and what is not."""

import pytest

from app.datasets.review.findings import WarningCode
from tests.app.datasets.review.reviewed import alpaca, find


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


def test_begin_and_end_tokens_count_only_at_the_edges_of_a_text() -> None:
    rows = [alpaca("<s> q", "a"), alpaca("q", "a </s>"), alpaca("q", "a <s>b</s> c")]

    assert find(rows)[WarningCode.SPECIAL_TOKENS].found == {"<s>": 1, "</s>": 1}


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
