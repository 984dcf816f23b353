import pytest
from rich.cells import cell_len

from stepline.terminal.display.wrapping import wrap

CHINESE = (
    "训练共 200 步，而第一个检查点在第 500 步；如果工作节点（worker）中途失联，任务将从头开始。"
)


@pytest.mark.parametrize("width", range(16, 60))
def test_chinese_lines_fill_the_width_and_start_with_no_closing_mark(width: int) -> None:
    lines = wrap(CHINESE, width)

    assert "".join(lines).replace(" ", "") == CHINESE.replace(" ", "")
    assert all(cell_len(line) <= width for line in lines)
    assert all(cell_len(line) > width - 10 for line in lines[:-1])
    assert not any(line[0] in "，。；）" for line in lines)


def test_english_lines_break_between_words() -> None:
    assert wrap("one two three", 8) == ["one two", "three"]


def test_line_breaks_and_the_spaces_after_them_are_kept() -> None:
    assert wrap("first\n  second line", 9) == ["first", "  second", "line"]
    assert wrap("", 9) == [""]


def test_a_word_that_is_wider_than_the_line_is_not_broken() -> None:
    assert wrap("a job_0123456789 b", 5) == ["a", "job_0123456789", "b"]
