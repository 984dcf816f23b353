"""Columns: a file's chosen format and column mapping, and how a row's columns are renamed to those the format expects.

Rows are stored with the renamed columns, so later steps recognize the format from the columns alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.dataset.columns.detect import ORDINARY, detect_form
from contracts.dataset.columns.labels import read_truth
from contracts.dataset.conversation import Form
from contracts.dataset.formats import preference
from contracts.dataset.row_error import RowError, RowProblem
from contracts.dataset.values import BadValue

_ORDINARY_NAMES = tuple(
    dict.fromkeys(
        name for module in ORDINARY.values() for name in (*module.REQUIRED, *module.OPTIONAL)
    )
)
REQUIRED: Mapping[Form, tuple[str, ...]] = {
    **{form: module.REQUIRED for form, module in ORDINARY.items()},
    "preference": (),
    "kto": (),
}
"""Columns that every row of a format must have. A preference pair has one of several sets, and a KTO row one of two labels."""
KNOWN: Mapping[Form, tuple[str, ...]] = {
    **{form: (*module.REQUIRED, *module.OPTIONAL) for form, module in ORDINARY.items()},
    "preference": (
        *preference.REQUIRED,
        *preference.OPTIONAL,
        *preference.REJECTED[1:3],
        "output",
        "completion",
    ),
    "kto": (*preference.LABELS, *(name for name in _ORDINARY_NAMES if name != "text")),
}
"""Columns that a format reads."""
ALL_KNOWN = tuple(sorted({name for names in KNOWN.values() for name in names}))


@dataclass(frozen=True)
class Columns:
    """A choice made at upload. Without it, each row's columns determine its format."""

    form: Form | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    """Maps the name that the format expects to the name in the file: `{"instruction": "question"}`."""

    @property
    def are_chosen(self) -> bool:
        """Whether anything was chosen."""
        return self.form is not None or bool(self.sources)

    @property
    def key(self) -> str:
        """A canonical string, which is the same for equal choices."""
        return json.dumps(self.stored, sort_keys=True)

    @property
    def stored(self) -> dict[str, Any]:
        """The choice as plain data."""
        return {"format": self.form, "columns": dict(self.sources)}

    def arrange(self, row: Any, line: int) -> Any:
        """Return the row with its columns renamed, and only the columns of the chosen format. Raises RowError."""
        if not self.are_chosen or not isinstance(row, dict):
            return row
        try:
            return self._arrange(row)
        except BadValue as error:
            raise RowError(line, error.problem, **error.figures) from error

    def explain(self, error: RowError) -> RowError:
        """Return an error about a renamed row, with the column's name in the file."""
        place = str(error.figures.get("place", ""))
        name = place.partition("[")[0].partition(".")[0]
        if name not in self.sources:
            return error
        shown = self.sources[name].encode(errors="backslashreplace").decode() + place[len(name) :]
        return RowError(error.line, error.problem, **{**error.figures, "place": shown})

    def _is_required(self, name: str) -> bool:
        """Whether every row needs the column. Others may be null, and tables omit nulls."""
        if self.form is not None:
            return name in REQUIRED[self.form]
        return name in preference.LABELS or any(name in names for names in REQUIRED.values())

    def _arrange(self, row: dict[Any, Any]) -> dict[Any, Any]:
        arranged = {name: row[name] for name in row if name not in self.sources.values()}
        for name, source in self.sources.items():
            if source in row:
                arranged[name] = row[source]
            elif self._is_required(name):
                raise BadValue(RowProblem.MISSING, place=source)
            else:
                arranged.pop(name, None)
        if self.form is not None:
            arranged = {name: arranged[name] for name in KNOWN[self.form] if name in arranged}
            for name in REQUIRED[self.form]:
                if name not in arranged:
                    raise BadValue(RowProblem.MISSING, place=name)
            if self.form == "kto" and arranged.keys().isdisjoint(preference.LABELS):
                raise BadValue(RowProblem.MISSING, place=preference.LABELS[0])
        for name in preference.LABELS:
            # The user has declared the column to be a KTO label, so its text is not a class name.
            if name in arranged and (name in self.sources or self.form == "kto"):
                arranged[name] = _read_label(arranged[name], name)
        if self.form is not None and detect_form(arranged) != self.form:
            raise BadValue(
                RowProblem.OTHER_FORM, form=self.form, keys=", ".join(arranged) or "none"
            )
        return arranged


def _read_label(value: Any, place: str) -> bool:
    truth = read_truth(value)
    if truth is None:
        raise BadValue(RowProblem.LABEL, place=place)
    return truth
