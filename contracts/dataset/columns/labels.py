"""KTO labels that are numbers or text: whether a file's labels rate its answers, and the rows with boolean labels.

Only prompts with completions are considered, because in other formats a label that is not a boolean is usually a class.
"""

from typing import Any

from contracts.dataset.formats.preference import LABELS

_TRUTHS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


class OtherLabels(Exception):  # the labels are classes; nothing is wrong
    """The labels are not ratings, but earlier rows were changed as if they were."""


class Labels:
    """The labels of one file, read row by row. Assumes that they are ratings until a label is not one."""

    def __init__(self, *, are_ratings: bool = True) -> None:
        self._are_ratings = are_ratings
        self._has_changed_any = False
        self._has_good_answer = False

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
        self._has_good_answer = self._has_good_answer or any(
            arranged.get(name) is True for name in LABELS
        )
        return arranged

    def finish(self) -> None:
        """Raise OtherLabels if labels were changed and none is true: nobody rates every answer as bad, so 0 is a class."""
        if self._are_ratings and self._has_changed_any and not self._has_good_answer:
            raise OtherLabels


def read_truth(value: Any) -> bool | None:
    """Return a label that may be text or a number, as in a CSV file; None if it is not a rating."""
    return _TRUTHS.get(str(value).strip().lower())
