import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from contracts.attempt import SyncRequest
from contracts.base import utc_now
from contracts.record import (
    DamagedLine,
    LogRecord,
    MetricRecord,
    OtherRecord,
    decode_line,
    encode_line,
)
from tests.factories import make_metric


@given(
    st.integers(1, 2**40),
    st.integers(0, 2**40),
    st.dictionaries(st.text(max_size=8), st.floats(allow_nan=False), max_size=5),
)
def test_an_encoded_record_decodes_to_itself(seq: int, step: int, values: dict[str, float]) -> None:
    record = MetricRecord(seq=seq, at=utc_now(), step=step, values=values)

    assert decode_line(encode_line(record)) == record


def test_nonfinite_values_survive_encoding() -> None:
    line = encode_line(make_metric(1, loss=math.nan, grad_norm=math.inf))

    back = decode_line(line)

    assert isinstance(back, MetricRecord)
    assert math.isnan(back.values["loss"])
    assert back.values["grad_norm"] == math.inf


@given(st.data())
def test_a_truncated_or_altered_line_is_detected(data: st.DataObject) -> None:
    line = encode_line(LogRecord(seq=7, at=utc_now(), message='损失 {"crc32":"00000000"} 下降'))
    cut = data.draw(st.integers(0, len(line) - 2))
    place = data.draw(st.integers(0, len(line) - 2))
    altered = line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]

    for damaged in (line[:cut], altered):
        with pytest.raises(DamagedLine):
            decode_line(damaged)


def test_a_sync_keeps_records_of_an_unknown_type() -> None:
    text = '{"records": [{"type": "picture", "seq": 3, "at": "2026-01-01T00:00:00Z", "png": ""}]}'

    (record,) = TypeAdapter(SyncRequest).validate_json(text).records

    assert isinstance(record, OtherRecord)
    assert (record.type, record.seq) == ("picture", 3)
