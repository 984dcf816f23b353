"""Refused: why a file was not accepted as a dataset. It can be stored and described later, in either language."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from app.datasets.conversion import frames
from app.datasets.files.found import Rejected
from app.errors.base import AppError, FieldError
from app.errors.kinds import (
    ColumnNotFound,
    DatasetEmpty,
    DatasetInvalid,
    DatasetUnreadable,
    StorageFull,
    StorageUnavailable,
)
from contracts.dataset.row_error import FORMS
from contracts.failure import Language

SHOWN_ERRORS = 5
"""Maximum number of invalid rows in an error message."""

COUNTED_ERRORS = 100
"""Checking stops after this many invalid rows."""
_AT_LEAST: Mapping[Language, str] = {"en": "at least ", "zh": "至少 "}

RefusalCode = Literal[
    "dataset_invalid",
    "dataset_unreadable",
    "dataset_empty",
    "column_not_found",
    "storage_full",
    "storage_unavailable",
]


class Refused(Exception):  # the file is refused; nothing is broken
    """The file is not accepted. `rejected` are its problems, and `figures` the values for the message."""

    def __init__(
        self,
        code: RefusalCode,
        rejected: Sequence[Rejected] = (),
        *,
        param: str = "file",
        figures: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.rejected = rejected
        self.param = param
        self.figures = dict(figures or {})
        super().__init__("; ".join([code, *self.describe("en")[:SHOWN_ERRORS]]))

    def describe(self, language: Language) -> list[str]:
        """Return the problems, each with its place."""
        return [each.describe(language) for each in self.rejected]

    def error(self, language: Language) -> AppError:
        """Return the error with which an upload responds. It lists all problems."""
        error = self._error(language)
        if self.rejected:
            error.errors = [
                FieldError(
                    param=self.param, code=each.error.problem.value, message=each.describe(language)
                )
                for each in self.rejected
            ]
        return error

    def _error(self, language: Language) -> AppError:
        problems = self.describe(language)
        match self.code:
            case "dataset_invalid":
                more = " …" if len(problems) > SHOWN_ERRORS else ""
                return DatasetInvalid(
                    self.param,
                    count=("" if len(problems) < COUNTED_ERRORS else _AT_LEAST[language])
                    + str(len(problems)),
                    problems="; ".join(problems[:SHOWN_ERRORS]) + more,
                    expected=FORMS[language],
                )
            case "dataset_unreadable":
                return DatasetUnreadable(self.param, problem=problems[0])
            case "dataset_empty":
                return DatasetEmpty(self.param)
            case "column_not_found":
                return ColumnNotFound(self.param, **self.figures)
            case "storage_full":
                return StorageFull()
            case "storage_unavailable":
                return StorageUnavailable()

    def dump(self) -> dict[str, Any]:
        """Return the refusal as JSON data without unpaired surrogates."""
        found = {
            "code": self.code,
            "param": self.param,
            "figures": self.figures,
            "rejected": [
                frames.encode(each).decode(errors="replace").rstrip("\n") for each in self.rejected
            ],
        }
        text = json.dumps(found, ensure_ascii=False).encode(errors="replace")
        dumped: dict[str, Any] = json.loads(text)
        return dumped

    @classmethod
    def load(cls, content: Mapping[str, Any]) -> Self:
        """Return the refusal from the result of `dump`. Raises ValueError or KeyError."""
        found = [frames.decode(f"{frame}\n".encode()) for frame in content["rejected"]]
        return cls(
            content["code"],
            [each for each in found if isinstance(each, Rejected)],
            param=content["param"],
            figures=content["figures"],
        )
