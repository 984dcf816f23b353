"""Finds answers that refuse the request, or that speak as an AI model, in English, Chinese and Japanese."""

import re

HEAD_CHARACTERS = 300
"""Refusals are searched for in this many characters at the beginning of an answer."""
_PEOPLE = (
    "researcher|engineer|scientist|student|developer|expert|specialist|consultant|enthusiast|professor|professional"
    "|architect|practitioner|teacher|company|startup|team"
)
_CANNOT = r"(?:can(?:no|['’])t|(?:am|['’]m) (?:unable|not able) to|won['’]t(?: be able to)?)"
_REFUSED = (
    "(?:assist|help(?! (?:but|it|feeling|thinking|wondering|noticing))|fulfil|comply|provide|create|generate|write"
    "|browse|access (?:the |external |real|your |any )"
    # Only at the end of a sentence, because of "I can't do this without you".
    r"|do (?:that|this|so)(?=\W*(?:[.!,;]|\Z| for you\b| because\b))"
    "|engage|participate|complete|continue|discuss|support|answer (?:that|this|the question|your))"
)
_MAKERS = (
    r"(?:openai|anthropic|google|deepmind|meta|microsoft|mistral|alibaba|deepseek|baidu|moonshot)"
)
_REFUSAL = re.compile(
    rf"\bas an? (?:\w+ ){{0,2}}(?:ai|artificial intelligence|language model)\b(?! (?:{_PEOPLE})\b)[^.\n]{{0,80}}?\bi\b"
    rf"|\bi(?: a|['’])m (?:just )?an? (?:\w+ )?(?:ai|language model)\b(?! (?:{_PEOPLE})\b)[^.\n]{{0,60}}?"
    r"\b(?:can(?:no|['’])t|unable|don['’]t have)\b"
    rf"|\bi(?: a|['’])m (?:just|only) an? (?:\w+ )?(?:ai|language model|chatbot)\b(?! (?:{_PEOPLE})\b)"
    r"|\bi(?: a|['’])m (?:chatgpt\b|(?:[\w\-]+, )?an? (?:\w+ ){0,2}(?:ai|language model|chatbot)\b[^.\n]{0,30}?"
    rf"\b(?:developed|trained|created|made|built) by {_MAKERS}\b)"
    rf"|\A\W*(?:(?:i(?: a|['’])m (?:really |very |so )?sorry|i apologi[sz]e|sorry|unfortunately)\b[^\n]{{0,80}}?)?"
    rf"\bi ?{_CANNOT} {_REFUSED}"
    r"|作为(?:一个|一名|一款|一种|一位)?(?:由[^，。\n]{1,20}?(?:开发|训练|创造)的)? ?(?:大型|大规模|大|文本|文字型?|语言)? ?"
    r"(?:人工智能|ai|语言模型|聊天机器人|(?<=文本)机器人) ?"
    r"(?:大?语言模型|模型|助手|助理|程序|机器人|系统)?[，,、 ]{0,2}(?:我|本)"
    r"|我是(?: ?chatgpt|[^，。\n]{0,12}?由[^，。\n]{1,12}?(?:开发|训练|创造|研发)的[^，。\n]{0,10}?(?:模型|人工智能|ai|聊天机器人))"
    r"|我(?:只)?是一?[个名款种]? ?(?:人工智能|语言ai|ai|语言模型|文本机器人)[^。\n]{0,40}?(?:无法|不能|没有)"
    r"|\A\W*(?:非常|很|十分)?(?:抱歉|对不起|遗憾|不好意思)[，,。！ ]{0,2}(?:但是?)?(?:[^，。！\n]{1,10})?"
    r"我(?:无法|没有办法|没办法|不能(?:为|向|给|帮|提供|回答|协助|满足|完成|生成|执行|支持|讨论|继续|访问|浏览|直接|确定|创作|创建|透露))"
    r"|\A\W*我(?:无法|不能|没有办法|没办法)(?:为[您你])?(?:提供|协助|帮助|满足|回答|完成|生成|执行)"
    r"|(?:ai|言語モデル)(?:アシスタント|モデル)?として、? ?私"
    r"|\A\W*(?:大変|誠に)?(?:申し訳(?:あり|ござい)ません|すみません)[^\n]{0,60}?"
    r"(?:お応え|お答え|回答|提供|お手伝い|対応)[^\n]{0,8}?(?:できません|できかねます|いたしかねます)"
)
_SIMPLIFIED = str.maketrans(
    "無為爲語對機沒協幫滿執個種遺問規開發訓練創從應訪覽們這",
    "无为为语对机没协帮满执个种遗问规开发训练创从应访览们这",
)
"""Characters in refusals that differ between Traditional and Simplified Chinese."""


def is_refusal(answer: str) -> bool:
    """Return whether an answer refuses the request, or speaks as an AI model, near its beginning."""
    return _REFUSAL.search(answer[:HEAD_CHARACTERS].casefold().translate(_SIMPLIFIED)) is not None
