"""Formats byte counts in the same binary units as the page (`bytes` in web/src/format.ts)."""


def format_bytes(count: int) -> str:
    """Return a size such as `899 B`, `9.77 KiB` or `4.6 GiB`."""
    if count < 1024:
        return f"{count} B"
    size, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if size >= 1024:
            size, unit = size / 1024, larger
    return f"{size:.2f} {unit}" if size < 10 else f"{size:.1f} {unit}"
