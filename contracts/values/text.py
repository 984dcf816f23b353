"""Escapes characters in untrusted text that are unsafe to show in a terminal, a page or a spreadsheet.

Unsafe characters are control characters (C0, C1, DEL), which terminals interpret; bidi characters, which can make
`gpj.exe` read as `exe.jpg`; line and paragraph separators; and unpaired surrogates. Letters of all scripts, emoji,
their joiner (U+200D) and variation selectors are safe.
"""

import re

UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]"
)
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")
"""Characters that make a spreadsheet treat a cell as a formula if the cell begins with one."""


def find_unsafe(text: str) -> str | None:
    """Return the first unsafe character, formatted as `U+202E`, or None. Newline and tab count as unsafe."""
    found = UNSAFE.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def escape(text: str, keep: str = "") -> str:
    r"""Return the text with each unsafe character, except those in `keep`, replaced by an escape (`\x1b`, `\u202e`)."""
    return UNSAFE.sub(lambda found: found[0] if found[0] in keep else _shown(found[0]), text)


def escape_lines(text: str) -> str:
    """Return the text with all unsafe characters except newlines and tabs escaped."""
    return escape(text, keep="\n\t")


def escape_json(text: str) -> str:
    r"""Return equivalent JSON that is safe to show: unsafe characters are written as escapes such as `\u202e`."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escape_cell(text: str) -> str:
    """Return the text as a CSV cell that no spreadsheet evaluates as a formula."""
    marked = f"'{text}" if text.startswith(_FORMULA) else text
    return escape(marked)


def _shown(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
