"""If-None-Match: whether a client already has the current response."""


def holds(if_none_match: str | None, tag: str) -> bool:
    """Return whether the header names this tag, or any by `*`. Tags are compared weakly, as RFC 9110 wants it here."""
    if if_none_match is None:
        return False
    held = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return tag.removeprefix("W/") in held or "*" in held
