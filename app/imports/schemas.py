"""The request for an import."""

from typing import Annotated

from pydantic import Field

from contracts.data_spec import HubDataset
from contracts.dataset.conversation import Form
from contracts.field_error import OneOf


class Import(HubDataset):
    """A dataset on the hub, and how to read its rows."""

    format: Annotated[Form, OneOf()] | None = None
    """Format of all rows; by default, each row's columns determine its format."""
    columns: dict[str, str] = Field({}, max_length=50)
    """Maps the format's column names to the dataset's, such as `{"instruction": "question"}`."""
