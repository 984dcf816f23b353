"""The Idempotency-Key header: a client repeats a request with the same key, and the request takes effect once."""

from typing import Annotated

from fastapi import Header

IdempotencyKeyDep = Annotated[
    str | None, Header(alias="Idempotency-Key", pattern=r"^[\x20-\x7e]+$", max_length=255)
]
