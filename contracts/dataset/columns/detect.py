"""Detects the format of a row from its columns."""

from collections.abc import Mapping
from typing import Any

from contracts.dataset.conversation import Form
from contracts.dataset.formats import alpaca, messages, preference, prompt, sharegpt, text
from contracts.dataset.row_error import RowProblem
from contracts.dataset.values import BadValue

ORDINARY: Mapping[Form, Any] = {
    "messages": messages,
    "prompt": prompt,
    "alpaca": alpaca,
    "sharegpt": sharegpt,
    "text": text,
}
"""Modules of the formats that do not rate answers, in order of precedence."""
_REQUIRED: Mapping[Form, tuple[str, ...]] = {
    form: module.REQUIRED for form, module in ORDINARY.items()
}


def detect_form(row: Mapping[Any, Any]) -> Form:
    """Return the format of a row. Raises BadValue if the columns match no format."""
    if preference.has_rejected(row):
        return "preference"
    ordinary = _find_ordinary(row)
    if preference.has_chosen(row) and (ordinary is None or not _is_complete(row, ordinary)):
        return "preference"
    if ordinary is None:
        raise _unknown(row)
    return "kto" if preference.has_label(row) and ordinary != "text" else ordinary


def detect_ordinary(row: Mapping[Any, Any]) -> Form:
    """Return the format of a row, ignoring columns that rate its answer. Raises BadValue."""
    found = _find_ordinary(row)
    if found is None:
        raise _unknown(row)
    return found


def _find_ordinary(row: Mapping[Any, Any]) -> Form | None:
    """Return the first format whose required columns are all present, or else the first with any of them present."""
    for form, required in _REQUIRED.items():
        if _has_all(row, required):
            return form
    return next((form for form, required in _REQUIRED.items() if required[0] in row), None)


def _is_complete(row: Mapping[Any, Any], form: Form) -> bool:
    return _has_all(row, _REQUIRED[form])


def _has_all(row: Mapping[Any, Any], columns: tuple[str, ...]) -> bool:
    # A loop, because a generator takes several times as long, and this runs several times per row.
    for column in columns:  # noqa: SIM110
        if row.get(column) is None:
            return False
    return True


def _unknown(row: Mapping[Any, Any]) -> BadValue:
    keys = ", ".join(sorted(str(key)[:100] for key in row)[:8]) or "none"
    # A key may contain an unpaired surrogate.
    shown = keys.encode(errors="backslashreplace").decode()
    return BadValue(RowProblem.UNKNOWN_FORM, keys=shown)
