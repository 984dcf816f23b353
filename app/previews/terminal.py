"""A preview as text for a terminal: the tokens that the model learns are green, or in ⟦brackets⟧ without color.

Adjacent tokens alternate between two shades of the color, so that their boundaries are visible.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from contracts.errands.errand import PreviewResult, PreviewRow, PreviewToken
from contracts.failure import Language
from contracts.values.text import escape

_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_RED = "\x1b[31m"
_SHADES = {True: ("\x1b[32m", "\x1b[92m"), False: ("\x1b[90m", "\x1b[37m")}
"""The two shades for trained tokens, and for the others."""


def render(result: PreviewResult, max_length: int, language: Language, *, color: bool) -> str:
    """Return the rows as text. Control characters are escaped; newlines are kept and marked."""
    return "\n".join(_row(row, max_length, language, color) for row in result.rows)


def _row(row: PreviewRow, max_length: int, language: Language, color: bool) -> str:
    zh = language == "zh"
    title = f"# 第 {row.row} 行" if zh else f"# row {row.row}"
    if row.form is not None:
        title += f" · {row.form}"
    if row.error is None:
        title += (
            f" · {row.total_tokens} 个 token，训练 {row.trained_tokens} 个"
            if zh
            else f" · {row.total_tokens} tokens, {row.trained_tokens} trained"
        )
    notes = []
    if row.error is not None:
        notes.append(f"无法训练：{row.error}" if zh else f"cannot be trained on: {row.error}")
    if row.dropped:
        notes.append(
            "训练时跳过：没有可训练的 token"
            if zh
            else "skipped in training: no token would be trained"
        )
    if row.truncated:
        cut = row.total_tokens - len(row.tokens)
        notes.append(
            f"已截断：超出 max_length={max_length} 的 {cut} 个 token 不参与训练"
            if zh
            else f"truncated: {cut} tokens beyond max_length={max_length} are not used"
        )
    parts = [f"{_BOLD}{title}{_RESET}" if color else title]
    if row.tokens:
        parts.append(_colored(row.tokens) if color else _marked(row.tokens))
    parts += [f"{_RED}! {escape(note)}{_RESET}" if color else f"! {escape(note)}" for note in notes]
    return "\n".join(parts) + "\n"


def _colored(tokens: Iterable[PreviewToken]) -> str:
    written = []
    for number, token in enumerate(_characters(tokens)):
        shade = _SHADES[token.trained][number % 2]
        written.append(f"{shade}{_shown(token.text)}{_RESET}")
    return "".join(written)


def _marked(tokens: Iterable[PreviewToken]) -> str:
    written = []
    for trained, group in groupby(_characters(tokens), key=lambda token: token.trained):
        text = _shown("".join(token.text for token in group))
        written.append(f"⟦{text}⟧" if trained else text)
    return "".join(written)


def _characters(tokens: Iterable[PreviewToken]) -> Iterator[PreviewToken]:
    """Yield the tokens, except those that continue a character: its text is in the character's first token."""
    return (token for token in tokens if not token.joined)


def _shown(text: str) -> str:
    return escape(text, keep="\n\t").replace("\n", "↵\n")
