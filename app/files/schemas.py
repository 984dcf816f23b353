"""Files as OpenAI's clients see them. Times are seconds since 1970."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

FileStatus = Literal["uploaded", "processed", "error"]
FilePurpose = Literal["fine-tune", "fine-tune-results"]


class FileView(BaseModel):
    """A file in OpenAI's format, with the additional field `dataset_id`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["file"] = "file"
    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: FilePurpose = "fine-tune"
    status: FileStatus
    """`uploaded` while the rows of a large file are checked, then `processed`, or `error` if they are rejected."""
    status_details: str | None = None
    """Why the rows were rejected; null unless the status is `error`."""
    expires_at: int | None = None
    """When the file is deleted; null if it does not expire."""
    dataset_id: str | None = None
    """The dataset with the file's rows, as in `GET /v1/datasets/{id}`; null for a file that a job has written."""
