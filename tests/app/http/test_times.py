from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from app.http.times import Moment

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00+08:00", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31 08:00:00.25z", datetime(2026, 1, 31, 8, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-01-31t08:00:00.123456789Z", datetime(2026, 1, 31, 8, 0, 0, 123_456, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_time_needs_a_time_zone_and_a_date_means_midnight_utc(
    text: str, moment: datetime
) -> None:
    assert MOMENT.validate_python(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "0.5",
        "1769846400",
        "2026-01-31T08:00:00",  # no time zone
        "2026-01-31T08:00:00 08:00",  # an unencoded +
        "2026-01-31T08:00Z",
        "2026-02-30",
        "2026-02-30T00:00:00Z",
        "2026-06-30T23:59:60Z",
        "2026-01-31T08:00:00+24:00",
        "٢٠٢٦-٠١-٣١",
        "2026-01-31Z",
        "now",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_an_invalid_time_is_rejected_with_a_stable_code(text: str) -> None:
    with pytest.raises(ValidationError) as raised:
        MOMENT.validate_python(text)

    assert raised.value.errors()[0]["type"] in {"invalid_time", "year_out_of_range"}
