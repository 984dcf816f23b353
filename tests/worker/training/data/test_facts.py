import pytest

from contracts.dataset.comparison import normalize
from contracts.dataset.conversation import Conversation, Message, Parsed
from contracts.dataset.rows import parse_row
from worker.training.data.facts import measure_rows


def chat(*turns: str) -> Conversation:
    """Return a conversation in which user and assistant alternate."""
    return Conversation(
        "messages",
        [
            Message(role="assistant" if place % 2 else "user", content=text)
            for place, text in enumerate(turns)
        ],
    )


@pytest.mark.parametrize(
    ("copy", "is_exact"),
    [
        ("The answer: １２.", False),  # full-width digits
        ("The answer: 12. ", False),
        ("\tThe  answer:\n12.", False),
        ("the ANSWER: 12.", False),
        ("\ufeffThe ans\u200bwer: 12.", False),
        ("The\u3000answer:\u00a012.", False),  # ideographic and non-breaking spaces
        ("The answer: 12.", True),
    ],
)
def test_a_copy_is_recognised_despite_different_spacing_case_or_width(
    copy: str, is_exact: bool
) -> None:
    facts = measure_rows([chat("Sum?", "The answer: 12.")], [chat("Sum?", copy)])

    assert (facts.overlapping_rows, facts.overlapping_rows_normalized) == (int(is_exact), 1)


@pytest.mark.parametrize(
    "other",
    [
        chat("Sum?", "The answer: 13."),
        chat("Sum!", "The answer: 12."),
        chat("Sum?", "Theanswer: 12."),
        chat("Sum?", "The answer: 12.", "And?", "No."),
        Conversation(
            "messages",
            [
                Message(role="system", content="Sum?"),
                Message(role="assistant", content="The answer: 12."),
            ],
        ),
        chat("", "Sum?The answer: 12."),
    ],
)
def test_a_different_row_is_not_a_copy(other: Parsed) -> None:
    facts = measure_rows([chat("Sum?", "The answer: 12.")], [other])

    assert (facts.overlapping_rows, facts.overlapping_rows_normalized) == (0, 0)


def test_a_copy_in_another_row_format_is_recognised() -> None:
    alpaca = parse_row({"instruction": "Add.", "input": "1 and 2", "output": "3"}, 1)
    prompt = parse_row({"prompt": "Add.\n1 and 2", "completion": "3"}, 1)

    assert measure_rows([alpaca], [prompt]).overlapping_rows == 1


def test_rows_and_answers_are_counted_after_normalisation() -> None:
    rows = [chat("a", "Yes."), chat("A ", "yes."), chat("b", "YES."), chat("c", "No.")]

    facts = measure_rows(rows, rows[:1])

    assert facts.train.rows == 4
    assert facts.train.distinct_rows == 3
    assert facts.train.distinct_answers == 2
    assert facts.train.top_answer_rows == 3


def test_the_answer_of_a_chat_consists_of_all_assistant_turns() -> None:
    rows = [chat("a", "Yes.", "b", "No."), chat("c", "Yes.", "d", "No."), chat("e", "Yes.No.")]

    assert measure_rows(rows, rows).train.distinct_answers == 2


def test_a_lone_surrogate_and_an_empty_split_are_accepted() -> None:
    strange = Conversation("messages", [Message(role="assistant", content="\ud800")])

    facts = measure_rows([strange], [])

    assert (facts.train.rows, facts.evaluation.rows) == (1, 0)


def test_normalisation_is_idempotent() -> None:
    text = " ﬁne\u200d Ⅳ  ＡＢＣ\u3000ß "

    assert normalize(text) == "fine iv abc ss"
    assert normalize(normalize(text)) == normalize(text)


def test_normalisation_does_not_take_quadratic_time_and_keeps_characters_whole() -> None:
    marks = "a" + "\u0301\u0323" * 100_000
    hangul = "\u1112\u1161\u11ab" * 700

    assert len(normalize(marks)) > 100_000
    assert normalize("e\u0301" * 2000) == "é" * 2000
    assert normalize("x" + hangul) == "x" + "한" * 700
