"""If-None-Match: whether a client already has the current response."""


def holds(if_none_match: str | None, tag: str) -> bool:
    """Return whether the header contains this ETag or is `*`. RFC 9110 requires weak comparison for this header."""
    if if_none_match is None:
        return False
    tags = {each.strip().removeprefix("W/") for each in if_none_match.split(",")}
    return tag.removeprefix("W/") in tags or "*" in tags
