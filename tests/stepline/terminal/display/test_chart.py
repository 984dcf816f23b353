from stepline.terminal.display.chart import draw_curve

EMPTY = "\u2800"


def test_a_falling_curve_begins_at_the_top_left_and_ends_at_the_bottom_right() -> None:
    lines = draw_curve([(1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)], width=10, height=4)

    assert [len(line) for line in lines] == [10] * 4
    assert lines[0][0] != EMPTY
    assert lines[3][9] != EMPTY
    assert lines[0][9] == lines[3][0] == EMPTY


def test_columns_between_distant_points_are_interpolated() -> None:
    lines = draw_curve([(0, 0.0), (100, 1.0)], width=20, height=2)

    assert all(any(line[x] != EMPTY for line in lines) for x in range(20))


def test_equal_values_are_drawn_as_a_flat_line() -> None:
    lines = draw_curve([(1, 2.0), (2, 2.0)], width=5, height=3)

    assert EMPTY not in lines[0]
    assert set(lines[1] + lines[2]) == {EMPTY}


def test_a_chart_without_points_is_empty() -> None:
    assert draw_curve([], width=10, height=4) == []
