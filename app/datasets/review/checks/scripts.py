"""The script of a text, such as Latin or Han, as an approximation of its language."""

import re
from collections import Counter
from collections.abc import Mapping

FEWEST_LETTERS = 20
"""A text with fewer letters is too short for its language to be compared with that of the others."""
MAIN_SHARE = 0.8
"""A dataset has a main script if at least this share of the rows with letters is written in it."""
FOREIGN_SHARE = 0.1
"""A row counts as different if less than this share of its letters belongs to the main script."""
FEWEST_ROWS = 20
"""With fewer rows than this, a dataset has no main script."""
_KANA_SHARE = 0.05
"""Japanese text mixes kana with Han characters."""
_SCRIPTS: Mapping[str, re.Pattern[str]] = {
    "latin": re.compile("[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]+"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"),
    "kana": re.compile("[\u3041-\u30ff\u31f0-\u31ff]+"),
    "hangul": re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]+"),
    "cyrillic": re.compile("[\u0400-\u052f]+"),
    "greek": re.compile("[\u0370-\u03ff]+"),
    "arabic": re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff]+"),
    "hebrew": re.compile("[\u0590-\u05ff]+"),
    "devanagari": re.compile("[\u0900-\u097f]+"),
    "bengali": re.compile("[\u0980-\u09ff]+"),
    "tamil": re.compile("[\u0b80-\u0bff]+"),
    "thai": re.compile("[\u0e00-\u0e7f]+"),
}
_CODE_BLOCK = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CODE_SYMBOL = re.compile(r"[{}\[\]=;_<>]|\w\(")
"""Code is written in Latin letters in every language."""
_LETTER = re.compile(r"[^\W\d_]+")


def count_letters(text: str) -> dict[str, int]:
    """Return the number of letters by script. Japanese text counts as `kana`."""
    if text.isascii():
        letters = {"latin": _count(_SCRIPTS["latin"], text)}
    else:
        left = _count(_LETTER, text)
        letters = {}
        for script, pattern in _SCRIPTS.items():
            if left <= 0:
                break
            letters[script] = _count(pattern, text)
            left -= letters[script]
        if left > 0:
            letters["other"] = left
        japanese = letters.get("kana", 0) + letters.get("han", 0)
        if letters.get("kana", 0) > _KANA_SHARE * japanese:
            letters["kana"], letters["han"] = japanese, 0
    return {script: number for script, number in letters.items() if number}


def main_script(letters: Mapping[str, int]) -> str:
    """Return the most frequent script of the letters; `none` for a text without letters."""
    return max(letters, key=letters.__getitem__, default="none")


class Scripts:
    """The scripts of a dataset's rows."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self._letters: dict[int, dict[str, int]] = {}

    def add(self, row: int, text: str) -> None:
        """Count a row."""
        letters = count_letters(_without_code(text))
        self.rows[main_script(letters)] += 1
        if sum(letters.values()) >= FEWEST_LETTERS:
            self._letters[row] = letters

    def find_foreign(self) -> list[tuple[int, str]]:
        """Return (row, script) of each row whose script differs from that of nearly all others."""
        if len(self._letters) < FEWEST_ROWS:
            return []
        scripts = Counter(main_script(letters) for letters in self._letters.values())
        script, rows = scripts.most_common(1)[0]
        if rows < MAIN_SHARE * len(self._letters):
            return []
        return [
            (row, main_script(letters))
            for row, letters in self._letters.items()
            if letters.get(script, 0) < FOREIGN_SHARE * sum(letters.values())
        ]


def _without_code(text: str) -> str:
    """Return the text without code blocks and without ASCII lines that contain symbols typical of code."""
    lines = _CODE_BLOCK.sub("", text).split("\n")
    return "\n".join(line for line in lines if not (line.isascii() and _CODE_SYMBOL.search(line)))


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(map(len, pattern.findall(text)))
