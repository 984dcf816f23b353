"""Checks of a single text: special tokens, wrongly decoded text, refusals. Each pattern takes time linear in the text."""

import re

_SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_.\-]{2,40}\|>"  # ChatML, Llama 3, Phi
    r"|<｜[\w▁]{2,40}｜>"  # DeepSeek
    r"|\[/?INST\]|<</?SYS>>"  # Llama 2, Mistral
    r"|<(?:start|end)_of_turn>"  # Gemma
    r"|<(?:bos|eos|pad|unk)>"
)
_EDGE_TOKEN = re.compile(r"\A\s*<s>(?![^<]*</s>\s*\S)|</s>\s*\Z")
"""`<s>` and `</s>` also strike text through in HTML, so they count only where a tokenizer would write them."""

# The characters that cp1252 shows for the bytes 0x80 to 0xBF, without NBSP, quotes and dashes, which follow letters in
# correct text.
_TAIL = r"\x80-\x9f¡-ª¬-º¼-¿€‚ƒ„†‡ˆ‰Š‹ŒŽ•˜™š›œžŸ"
_GARBLED = re.compile(
    "\ufffd"
    "|Ã[" + _TAIL + "]|Â[" + _TAIL + "\xa0]"  # UTF-8 read as Latin-1 or cp1252, two bytes
    "|â€|â\x80"  # typographic quotes and dashes, three bytes
    "|[à-ï][" + _TAIL + "]{2}"  # other characters of three bytes, such as Chinese
    "|(?:[ÐÑ][" + _TAIL + "\xa0-»]){2}"  # Cyrillic
    "|锟斤拷|[锛銆鈥][^锛銆鈥]{0,200}[锛銆鈥]"  # UTF-8 read as GBK
)

HEAD_CHARACTERS = 300
"""A refusal is near the beginning of an answer."""
_REFUSAL = re.compile(
    r"\bas an? (?:\w+ ){0,2}(?:ai|artificial intelligence|language model)\b[^.\n]{0,80}?\bi\b"
    r"|\bi(?: a|['’])m (?:just )?an? (?:\w+ )?(?:ai|language model)\b[^.\n]{0,60}?\b(?:can(?:no|['’])t|unable|don['’]t have)\b"
    r"|\A\W*(?:i(?: a|['’])m (?:really |very )?sorry|i apologi[sz]e|sorry)\b[^\n]{0,60}?\bi (?:can(?:no|['’])t|am (?:unable|not able) to|won['’]t) "
    r"(?:assist|help|fulfil|comply|provide|create|generate|write|engage|answer|complete|continue|discuss|support)"
    r"|\A\W*i (?:can(?:no|['’])t|am (?:unable|not able) to|won['’]t) (?:assist|help|fulfil|comply|engage|participate)"
    r"|作为(?:一个|一名|一款|一种|一位)? ?(?:大型|大规模|文本|文字型?|语言)? ?"
    r"(?:人工智能|ai|语言模型|聊天机器人|(?<=文本)机器人) ?"
    r"(?:大?语言模型|模型|助手|助理|程序|机器人|系统)?[，,、 ]{0,2}(?:我|本)"
    r"|我(?:只)?是一?[个名款种]? ?(?:人工智能|语言ai|ai|语言模型|文本机器人)[^。\n]{0,40}?(?:无法|不能|没有)"
    r"|\A\W*(?:非常|很|十分)?(?:抱歉|对不起|遗憾)[，,。！ ]{0,2}(?:但是?)?我(?:无法|不能|没有办法|没办法)"
    r"|\A\W*我(?:无法|不能)(?:为[您你])?(?:提供|协助|帮助|满足|回答|完成|生成|执行)"
)


def find_special_token(text: str) -> str | None:
    """Return the first special token of a chat template in a text, or None."""
    if "<" not in text and "[" not in text:
        return None
    found = _SPECIAL_TOKEN.search(text) or _EDGE_TOKEN.search(text)
    return found[0].strip() if found else None


def find_garbled(text: str) -> str | None:
    """Return characters that show that a text was decoded with the wrong encoding, or None."""
    if text.isascii():
        return None
    found = _GARBLED.search(text)
    return found[0] if found else None


def is_refusal(answer: str) -> bool:
    """Return whether an answer refuses, or speaks as an AI model, near its beginning."""
    return _REFUSAL.search(answer[:HEAD_CHARACTERS].casefold()) is not None
