"""KTO labels that are numbers or text: whether a file's labels rate its answers, and the rows with boolean labels.

Only prompts with completions are considered, because in other formats a label that is not a boolean is usually a class.
"""

from typing import Any

from contracts.dataset.formats.preference import LABELS

_TRUTHS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


class OtherLabels(Exception):  # the labels are classes; nothing is wrong
    """A label that is not a rating, after others that could be ratings."""


class Labels:
    """The labels of one file, read row by row. Assumes that they are ratings until a label is not one."""

    def __init__(self, *, are_ratings: bool = True) -> None:
        self._are_ratings = are_ratings
        self._has_changed_any = False

    def may_change(self, row: Any) -> bool:
        """Return whether a row has a label and may need a boolean instead."""
        return self._are_ratings and isinstance(row, dict) and not row.keys().isdisjoint(LABELS)

    def arrange(self, row: Any) -> Any:
        """Return the row with boolean labels. Raises OtherLabels if the labels of earlier rows should not have been changed."""
        if not self.may_change(row) or row.get("prompt") is None or row.get("completion") is None:
            return row
        arranged = row
        for name in LABELS:
            value = row.get(name)
            if value is None or isinstance(value, bool):
                continue
            truth = read_truth(value)
            if truth is None:
                if self._has_changed_any:
                    raise OtherLabels
                self._are_ratings = False
                return row
            arranged = arranged | {name: truth}
        self._has_changed_any = self._has_changed_any or arranged is not row
        return arranged


def read_truth(value: Any) -> bool | None:
    """Return a label that may be text or a number, as in a CSV file; None if it is not a rating."""
    return _TRUTHS.get(str(value).strip().lower())
