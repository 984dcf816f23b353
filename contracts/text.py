"""Characters in texts of others that must not reach a terminal, a page or a spreadsheet as they are.

They are the controls (C0, C1, DEL), which a terminal obeys, line and paragraph separators, the marks that turn the direction
of text, with which `gpj.exe` reads as `exe.jpg`, and halves of surrogate pairs. Letters of every script, emoji, their joiner
(U+200D) and variation selectors are none of them.
"""

import re

UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]"
)
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")
"""How a cell begins that a spreadsheet computes."""


def find_unsafe(text: str) -> str | None:
    """Return the first unsafe character as `U+202E`, or None if there is none. Newline and tab are unsafe, too."""
    found = UNSAFE.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def escape(text: str, keep: str = "") -> str:
    r"""Return the text with each unsafe character shown by its number (`\x1b`, `\u202e`), but for those to keep."""
    return UNSAFE.sub(lambda found: found[0] if found[0] in keep else _shown(found[0]), text)


def escape_lines(text: str) -> str:
    """Return a text of several lines, escaped; newlines and tabs stay."""
    return escape(text, keep="\n\t")


def escape_json(text: str) -> str:
    r"""Return JSON that says the same and can be shown: `\u202e` in place of the character."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def escape_cell(text: str) -> str:
    """Return the text as a cell of CSV that no spreadsheet takes for a formula."""
    marked = f"'{text}" if text.startswith(_FORMULA) else text
    return escape(marked)


def _shown(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
