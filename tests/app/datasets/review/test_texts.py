"""Checks of the texts of rows: the texts that each check must report, and those that it must not."""

import pytest

from app.datasets.review.findings import WarningCode
from tests.app.datasets.review.reviewing import alpaca, different_rows, find, review

GITHUB = "ghp_" + "Ab3dEf9hIjKlMn0pQrStUvWxYz25A7c8G4k6"


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
        *("中文的测试文本".encode().decode("gbk", "ignore"), "ÖÐÎÄ²âÊÔÎÄ±¾"),
        *("縺薙ｓ縺ｫ縺｡縺ｯ", "РїСЂРёРІРµС‚"),
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
        "········ ×××××××× äöüäöü ÉÉÉÉÉÉÉÉ",
        "联通的浣熊在江边浣纱，娜娜与妗子同行。",
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
        "[TOOL_CALLS]",
        "<eoa>",
        "<reserved_106>",
        "</tool_call>",
        "<think>",
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
    [
        "a < b | c > d",
        "x <|y|",
        "[1, 2]",
        "was <s>old</s>, now new",
        "f<T>(x)",
        "a |> b <| c",
        "f <| g x |> h",
        "<s>old</s> new",
        "<think>Let me see.</think> Yes.",
        "<reserved> <eo> [TOOL]",
    ],
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
        "I'm unable to provide that information.",
        "Unfortunately, I cannot help with this.",
        "I can't create content of this kind.",
        "作为一款由某公司开发的大语言模型，我没有情感。",
        "不好意思，这个问题我无法回答。",
        "抱歉，我無法協助您。",
        "申し訳ありませんが、そのご要望にはお応えできません。",
        "Sorry, I can't do that.",
        "I'm unable to browse the internet",
        "I'm just an AI, so no",
        "I'm ChatGPT, a language model developed by OpenAI.",
        "我是由OpenAI训练的语言模型。",
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
        "As an AI researcher, I work on vision.",
        "I'm an AI engineer and I can't wait to start.",
        "I cannot help but smile.",
        "抱歉，我不能参加今晚的聚会。",
        "作为一名人工智能研究员，我认为数据很重要。",
        "すみません、今日は会議に参加できません。",
        "I can't do this without you.",
        "I'm Claude, and I live in a village.",
    ],
)
def test_answers_about_ai_and_polite_answers_are_not_refusals(answer: str) -> None:
    assert WarningCode.REFUSALS not in find([alpaca("q", answer)])


def test_rows_in_a_different_script_from_the_rest_are_reported() -> None:
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


def test_no_row_of_a_dataset_in_two_languages_is_reported() -> None:
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
        ("gsk_" + "pLIix6MEOLeMa61EqJomTEI1JEzO3joOj37HyVaQXekW9LctXb03", "api_key"),
        ("sk-" + "e2LshZpcc5ZSG7m545BKdaEVhkGtpQbHIAd86Nhviq3IEZYd", "api_key"),
        (
            "AccountKey=" + "I8X2Y4rUmer/BH3M1XS0DRdJuPnBIKpi99lSi0tc" * 2 + "aB3dE7==",
            "azure_storage_key",
        ),
        ("aws_secret_access_key = " + "Q7TTJ/chcVG6MOwUxOVHMWndqNCIEPx3mnPQC4vk", "aws_secret_key"),
        ('"SecretAccessKey": "' + "Q7TTJ/chcVG6MOwUxOVHMWndqNCIEPx3mnPQC4vk", "aws_secret_key"),
        ("postgres://app:" + "S3cr7vQ9xK2" + "@db.internal:5432/app", "database_password"),
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
    assert secret[-12:] not in found.model_dump_json()
    assert secret[10:30] not in found.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_your_token_here",
        "The header is -----BEGIN PRIVATE KEY----- and a footer.",
        "task-0123456789abcdef0123456789abcdef",
        "postgres://user:password@localhost:5432/app",
        "mysql://app:${PASSWORD1}@db/app",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_placeholders_and_hashes_are_not_secrets(text: str) -> None:
    assert WarningCode.SECRETS not in find([alpaca("q", text)])


def test_a_line_of_a_million_characters_of_code_is_read_once() -> None:
    # A pattern that starts again at each symbol needs hours for this row.
    long = alpaca("q", "x;" * 500_000 + "中文")

    assert review([long]).reviewed_rows == 1
