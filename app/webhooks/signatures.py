"""Secrets and signatures in the format of Standard Webhooks, which OpenAI's SDK verifies."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX = "whsec_"


def new_secret() -> str:
    """Return a new secret of 32 random bytes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(
    message_id: str, seconds: int, body: str, with_secrets: Iterable[str]
) -> dict[str, str]:
    """Return the headers of a message: its id, the time in seconds since 1970, and a signature for each secret."""
    content = f"{message_id}.{seconds}.{body}".encode()
    signatures = []
    for secret in with_secrets:
        key = base64.b64decode(secret.removeprefix(_PREFIX))
        digest = hmac.new(key, content, hashlib.sha256).digest()
        signatures.append("v1," + base64.b64encode(digest).decode())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }
