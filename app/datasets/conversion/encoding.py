"""Chooses the encoding of a text file: from a byte order mark, the request, or the text itself."""

from app.datasets.conversion.request import Encoding
from app.datasets.files.file_kind import HEAD_BYTES, decode_utf8
from app.datasets.files.json_rows import UTF8

MIN_CHINESE_CHARACTERS = 40
"""With fewer Chinese characters, GB18030 cannot be distinguished from other encodings."""
MIN_CHINESE_SHARE = 0.95
MIN_FREQUENT_SHARE = 0.15
"""About a third of the characters in Chinese text are among these. Korean or Japanese text decoded as GB18030 contains
hardly any."""
FREQUENT = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么"
    "去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实，。、"
)


def find_encoding(head: bytes, requested: Encoding | None) -> str:
    """Return the name of the Python codec for text that begins with `head`.

    Text without a byte order mark that is not UTF-8 is treated as GB18030 only if there is no doubt. Otherwise, UTF-8
    is returned, and the reader reports the first invalid position.
    """
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"\xef\xbb\xbf"):
        return UTF8
    if requested == "utf-16":
        # Text begins with an ASCII character, because it is JSON or the name of a column.
        return "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
    if requested is not None:
        return UTF8 if requested == "utf-8" else requested
    if decode_utf8(head) is None and is_certainly_gb18030(head):
        return "gb18030"
    return UTF8


def is_certainly_gb18030(head: bytes) -> bool:
    """Return whether this is certainly Chinese text in GB18030 or in one of its subsets, GBK and GB2312."""
    try:
        text = head.decode("gb18030")
    except UnicodeDecodeError as error:
        if len(head) < HEAD_BYTES or error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("gb18030")
    other = [character for character in text if character > "\x7f"]
    chinese = [character for character in other if _is_chinese(character)]
    if len(chinese) < MIN_CHINESE_CHARACTERS or len(chinese) < MIN_CHINESE_SHARE * len(other):
        return False
    frequent = sum(character in FREQUENT for character in chinese)
    return frequent >= MIN_FREQUENT_SHARE * len(chinese)


def _is_chinese(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff" or character in "，。、；：？！“”‘’（）《》【】—…·￥％"
