"""Bearer tokens: the worker token, and the attempt's token returned by a claim.

`get_settings` and `get_token` are coroutines because they never block; FastAPI runs plain functions in a thread.
"""

import hmac
from typing import Annotated

from fastapi import Depends, Request

from app.config.settings import Settings
from app.errors.kinds import InvalidToken


async def get_settings(request: Request) -> Settings:
    """Return the server's settings."""
    settings: Settings = request.app.state.settings
    return settings


SettingsDep = Annotated[Settings, Depends(get_settings)]


async def get_token(request: Request) -> str:
    """Return the request's bearer token. Raises InvalidToken if there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise InvalidToken
    return token.strip()


TokenDep = Annotated[str, Depends(get_token)]


def require_worker(token: TokenDep, settings: SettingsDep) -> None:
    """Require the worker token. Raises InvalidToken if it is wrong or the server has none."""
    expected = settings.worker_token.get_secret_value().encode()
    if not expected or not hmac.compare_digest(token.encode("latin-1", "replace"), expected):
        raise InvalidToken
