"""The header in which OpenAI's client numbers the retries of a request."""

from typing import Annotated

from fastapi import Header

RetryNumberDep = Annotated[int | None, Header(alias="x-stainless-retry-count", ge=0, le=1_000_000)]
"""0 for a first request; None if the client does not number its retries."""
