"""Checks of a single text for special tokens and wrongly decoded characters. Each pattern runs in linear time."""

import re

_SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_.\-]{2,40}\|>"  # ChatML, Llama 3, Phi
    r"|<｜[\w▁]{2,40}｜>"  # DeepSeek
    r"|\[/?INST\]|<</?SYS>>"  # Llama 2, Mistral
    r"|\[TOOL_CALLS\]|\[/?(?:AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT)\]"  # Mistral
    r"|<eo[ahms]>|<reserved_[0-9]{1,3}>"  # InternLM, MOSS, Baichuan
    r"|</?tool_(?:call|response)>"  # Qwen, Hermes
    r"|<(?:start|end)_of_turn>"  # Gemma
    r"|<(?:bos|eos|pad|unk|sop|eop)>|\[gMASK\]"
)
_EDGE_TOKEN = re.compile(r"\A\s*<s>(?![^<]*</s>\s*\S)|</s>\s*\Z")
"""`<s>` and `</s>` are also HTML tags for strikethrough, so they count only where a tokenizer would write them."""

# The characters for the bytes 0x80 to 0xBF in cp1252, except NBSP, quotes and dashes, which also follow letters in
# correct text.
_TAIL = r"\x80-\x9f¡-ª¬-º¼-¿€‚ƒ„†‡ˆ‰Š‹ŒŽ•˜™š›œžŸ"
_GARBLED = re.compile(
    "\ufffd"
    "|Ã[" + _TAIL + "]|Â[" + _TAIL + "\xa0]"  # UTF-8 read as Latin-1 or cp1252, two bytes
    "|â€|â\x80"  # typographic quotes and dashes, three bytes
    "|[à-ï][" + _TAIL + "]{2}"  # other characters of three bytes, such as Chinese
    "|(?:[ÐÑ][" + _TAIL + "\xa0-»]){2}"  # Cyrillic
    "|锟斤拷|[锛銆鈥][^锛銆鈥]{0,200}[锛銆鈥]"  # UTF-8 read as GBK
    "|(?:[縺繧繝]..?){3}"  # UTF-8 read as Shift JIS
    "|(?:[РС][°±Ііґµ¶·ё№є»јЅѕїЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—™љ›њќћџ]){3}"  # UTF-8 read as Windows-1251
    # GBK read as Latin-1 or cp1252: four Chinese characters, each shown as two different characters.
    "|(?:([±-¶¸-ÖØ-÷])(?!\\1)[¡-þ]){4}"
)


def _gbk(leads: range, trails: range) -> str:
    """Return a regular expression for the letters whose two bytes in GBK are in these ranges."""
    pairs = (bytes([lead, trail]) for lead in leads for trail in trails)
    characters = (pair.decode("gbk", "ignore") for pair in pairs)
    return f"[{''.join(filter(str.isalpha, characters))}]"


_CHINESE_LEADS, _TRAILS = range(0xE4, 0xEA), range(0x80, 0xC0)
"""Ranges of the first byte, and of the other two bytes, of nearly all Chinese characters in UTF-8."""
_READ_AS_GBK = re.compile(
    f"(?:{_gbk(_CHINESE_LEADS, _TRAILS)}{_gbk(_TRAILS, _CHINESE_LEADS)}{_gbk(_TRAILS, _TRAILS)}){{2}}"
)
"""Four Chinese characters in UTF-8, read as six in GBK. Correct text contains such bytes with a probability below 1e-8."""


def find_special_token(text: str) -> str | None:
    """Return the first special token of a chat template in a text, or None."""
    if "<" not in text and "[" not in text:
        return None
    found = _SPECIAL_TOKEN.search(text) or _EDGE_TOKEN.search(text)
    return found[0].strip() if found else _find_open_thought(text)


def _find_open_thought(text: str) -> str | None:
    """Return `<think>` or `</think>` if one lacks the other. A whole thought is a reasoning model's ordinary answer."""
    opened, closed = text.count("<think>"), text.count("</think>")
    if opened == closed:
        return None
    return "<think>" if opened > closed else "</think>"


def find_garbled(text: str) -> str | None:
    """Return the characters that show that a text was decoded with the wrong encoding, or None."""
    if text.isascii():
        return None
    found = _GARBLED.search(text) or _READ_AS_GBK.search(text)
    return found[0] if found else None
