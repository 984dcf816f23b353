"""The request for an import."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from contracts.data_spec import HubDataset
from contracts.dataset.conversation import Form
from contracts.field_error import FieldProblem, OneOf, field_error

_PART = r"\w+(\.\w+)*(\[(-?\d[\d_]*%?)?:(-?\d[\d_]*%?)?\](\((closest|pct1_dropremainder)\))?)?"
"""A split or a part of it, in the syntax of `datasets`."""
_SPLIT = re.compile(rf"{_PART}(\s*\+\s*{_PART})*")


def _check_split(split: str) -> str:
    if not _SPLIT.fullmatch(split):
        raise field_error(FieldProblem.INVALID_SPLIT)
    return split


class Import(HubDataset):
    """A dataset on the hub, and how to read its rows."""

    config: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Configuration (subset) of the repository; null uses its default."""
    split: Annotated[str, Field(max_length=200), AfterValidator(_check_split)] = "train"
    """Split to read; slices in the syntax of `datasets`, such as `train[:1000]`, are allowed."""
    format: Annotated[Form, OneOf()] | None = None
    """Format of all rows; by default, each row's columns determine its format."""
    columns: dict[str, str] = Field({}, max_length=50)
    """Maps the format's column names to the dataset's, such as `{"instruction": "question"}`."""
