"""Refusals: which answers are reported, and which are not."""

import pytest

from app.datasets.review.findings import WarningCode
from tests.app.datasets.review.reviewed import alpaca, find


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
