"""Uploads as users see them. Unlike elsewhere, times are seconds since 1970, as in OpenAI's API."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.files.schemas import FileView
from contracts.base import Strict
from contracts.field_error import OneOf

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]
MOST_PARTS = 10_000
"""Maximum number of parts of an upload."""


class ExpiresAfter(Strict):
    """How long the file exists. The upload accepts parts for the same time."""

    anchor: Annotated[Literal["created_at"], OneOf()]
    seconds: int = Field(ge=3600, le=30 * 24 * 3600)
    """Seconds from the creation of the file; for parts, from the creation of the upload."""


class NewUpload(Strict):
    """The file that will be uploaded in parts."""

    filename: str = Field(min_length=1, max_length=1000)
    bytes: int = Field(ge=1, le=2**53)
    """Size of the whole file."""
    purpose: Annotated[Literal["fine-tune"], OneOf()]
    mime_type: str = Field(max_length=200)
    """Not used: the file's content and name determine its kind."""
    expires_after: ExpiresAfter | None = None
    """If null, the file does not expire, and the upload expires an hour after its creation."""


class Completion(Strict):
    """The order of the parts."""

    part_ids: list[Annotated[str, Field(max_length=80)]] = Field(
        min_length=1, max_length=MOST_PARTS
    )
    md5: str | None = Field(None, pattern="^[0-9a-fA-F]{32}$")
    """MD5 of the whole file, in hexadecimal. If given, the server checks it."""


class UploadView(BaseModel):
    """An upload."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["upload"] = "upload"
    id: str
    bytes: int
    """Declared size of the file."""
    created_at: int
    expires_at: int
    """When the upload expires if it is not completed."""
    filename: str
    purpose: Literal["fine-tune"] = "fine-tune"
    status: UploadStatus
    file: FileView | None
    """Null until the upload is completed, and after the file or its dataset has been deleted."""
    received_bytes: int
    """Total size of the parts received so far."""


class PartView(BaseModel):
    """A part of an upload."""

    object: Literal["upload.part"] = "upload.part"
    id: str
    created_at: int
    upload_id: str
