"""Ids: a prefix that is recognisable in logs, and enough random digits to be unguessable."""

import re
import secrets

_FORM = re.compile(r"[a-z]{2,8}_[0-9a-z]{1,64}")


def new_id(prefix: str) -> str:
    """Return `prefix_` and 24 random hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(12)}"


def fine_tuning_id(job_id: str) -> str:
    """Return a job's id in OpenAI's form, `ftjob-…`, with the same digits. Any other text is returned as it is."""
    return re.sub(r"^job_", "ftjob-", job_id)


def is_id(text: str) -> bool:
    """Return whether the text has the form of an id. Other text is rejected before it reaches the database."""
    return _FORM.fullmatch(text) is not None
