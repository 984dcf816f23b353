"""The messages of errors and events in both languages."""

import string
from pathlib import Path

import pytest

from app.errors import kinds as errors
from app.errors import words as messages
from app.errors.base import AppError
from app.errors.field_words import FIELD_WORDS
from app.events.words import EVENTS, event_words
from app.http.negotiation.language import choose_language
from contracts.failure import FailureReason, Language
from contracts.field_error import FieldProblem
from tests.app.errors.error_shape import CHINESE, FIELD_CODES

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, AppError) and kind is not AppError
]


def placeholders_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_message_has_the_same_placeholders_in_both_languages(
    kind: type[AppError],
) -> None:
    english, chinese = messages.ERRORS[kind.code]["en"], messages.ERRORS[kind.code]["zh"]

    assert placeholders_of(english.message) == placeholders_of(chinese.message)
    assert bool(english.hint) == bool(chinese.hint)
    assert CHINESE.search(chinese.message) or kind.code == "invalid_field"
    assert not CHINESE.search(english.message + english.hint)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_numbers_are_formatted_as_their_message_specifies(language: Language) -> None:
    for code, words in messages.ERRORS.items():
        message = words[language].message
        numbers = dict.fromkeys(placeholders_of(message + words[language].hint), 20.0)

        assert messages.error_words(code, language, numbers).message == message.format_map(numbers)


def test_every_event_message_has_the_same_placeholders_in_both_languages() -> None:
    for code, words in EVENTS.items():
        assert placeholders_of(words["en"]) == placeholders_of(words["zh"]), code


def test_an_event_stored_under_its_former_code_keeps_its_text() -> None:
    languages: tuple[Language, ...] = ("en", "zh")
    for language in languages:
        sentence = event_words("attempt_unheard", language, {"number": 2, "worker": "w1"})

        assert "w1" in sentence
        assert sentence == event_words(
            "attempt_undelivered", language, {"number": 2, "worker": "w1"}
        )


@pytest.mark.parametrize("reason", FailureReason)
def test_an_event_contains_the_message_of_its_reason(reason: FailureReason) -> None:
    languages: tuple[Language, ...] = ("en", "zh")
    for language in languages:
        sentence = event_words("job_failed", language, {"reason": reason.value})

        assert reason.value not in sentence
        assert reason.message(language)[1:] in sentence
    free = {"step": 5, "reason": "the server is unreachable"}
    assert event_words("checkpoint_delayed", "en", free).endswith(
        "will retry: the server is unreachable"
    )


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (943_020, "920.9 KiB"),
        (8_651_944, "8.25 MiB"),
        (2**40, "1.00 TiB"),
    ],
)
def test_an_event_shows_a_size_in_the_units_of_the_page(count: int, shown: str) -> None:
    figures = {"name": "adapter.zip", "bytes": count}

    assert f"({shown})" in event_words("artifact_uploaded", "en", figures)
    assert f"（{shown}）" in event_words("artifact_uploaded", "zh", figures)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("fr, zh;q=0.5", "zh"),
        ("zh;q=0.1, en;q=0.2", "en"),
        ("zh;q=0", "en"),
        ("zh;q=banana, ,;;;", "zh"),
        ("*", "en"),
    ],
)
def test_the_preferred_language_is_chosen(header: str | None, language: str) -> None:
    assert choose_language(header) == language


@pytest.mark.parametrize("kind", FIELD_WORDS)
def test_every_field_error_message_has_the_same_placeholders_in_both_languages(
    kind: str,
) -> None:
    words = FIELD_WORDS[kind]

    assert placeholders_of(words.en) == placeholders_of(words.zh)
    assert CHINESE.search(words.zh)
    assert not CHINESE.search(words.en)


def test_every_problem_that_the_validators_report_has_a_message() -> None:
    assert {problem: FIELD_WORDS[problem].code for problem in FieldProblem} == {
        problem: problem for problem in FieldProblem
    }


def test_the_documentation_lists_every_field_error_code() -> None:
    documentation = (Path(__file__).parents[3] / "docs" / "api.md").read_text()

    assert [code for code in FIELD_CODES if f"`{code}`" not in documentation] == []
