"""The messages of a review's warnings in English and Chinese."""

from collections.abc import Mapping

from app.datasets.review.findings import Finding, WarningCode
from contracts.failure import Language

_WORDS: Mapping[WarningCode, Mapping[Language, str]] = {
    WarningCode.DUPLICATES: {
        "en": "Rows that repeat an earlier row: {rows}. The model is trained on them several times, and copies may end up in both the "
        "training and the evaluation data. Remove them unless this is intended.",
        "zh": "与前面的数据重复：{rows} 条。重复数据会被多次训练，还可能同时出现在训练集和验证集中。如非有意，请删除。",
    },
    WarningCode.NEAR_DUPLICATES: {
        "en": "Rows that differ from an earlier row in only a few words: {rows} of {compared} compared. They contribute little to the "
        "training, and make the evaluation results look too good.",
        "zh": "与前面的数据几乎相同：{rows} 条（比较了 {compared} 条）。近似重复的数据对训练帮助不大，还会使评估结果偏好。",
    },
    WarningCode.EMPTY_ANSWERS: {
        "en": "Rows with an empty answer: {rows}. The model would learn to give empty answers. Fill in the answers or remove the rows.",
        "zh": "回答为空：{rows} 条。模型会学到不作回答。请补全回答，或删除这些数据。",
    },
    WarningCode.UNANSWERED: {
        "en": "Rows whose chosen conversation does not end with an answer: {rows}. Training skips them. Add the answers or remove "
        "the rows.",
        "zh": "chosen 对话不以回答结尾：{rows} 条。训练时会跳过。请补全回答，或删除这些数据。",
    },
    WarningCode.GARBLED_TEXT: {
        "en": "Rows with garbled text, such as “Ã©” or “�”: {rows}. The text was decoded with the wrong encoding before it "
        "was uploaded. Export it again as UTF-8.",
        "zh": "含乱码（例如“Ã©”“锟斤拷”“�”）：{rows} 条。文件在上传前用错误的编码解码过，请重新以 UTF-8 导出。",
    },
    WarningCode.SPECIAL_TOKENS: {
        "en": "Rows whose text contains special tokens of a chat template ({found}): {rows}. The template adds these tokens "
        "itself; in the text, they may end a turn early. Remove them.",
        "zh": "文本含有对话模板的特殊 token（{found}）：{rows} 条。模板会自动添加这些 token，出现在正文中可能使一轮对话提前结束，请删除。",
    },
    WarningCode.REFUSALS: {
        "en": "Rows in which the answer refuses the request, or says that it comes from an AI model: {rows}. The model would learn to "
        "answer like this. Remove them unless this is intended.",
        "zh": "回答是拒答，或自称 AI 模型：{rows} 条。模型会学到这样回答。如非有意，请删除。",
    },
    WarningCode.OTHER_LANGUAGE: {
        "en": "Rows in a different language from the rest, judging by their script ({found}): {rows} of {compared} compared. Check "
        "whether they belong to this dataset.",
        "zh": "语言与其余数据不同（按文字判断：{found}）：{rows} 条（比较了 {compared} 条）。请确认它们是否属于该数据集。",
    },
    WarningCode.SECRETS: {
        "en": "Rows that contain secrets ({found}): {rows}. A trained model can reproduce them. Revoke the secrets and "
        "remove them from the rows.",
        "zh": "含有密钥或令牌（{found}）：{rows} 条。训练后的模型可能会泄露这些内容。请吊销密钥，并从数据中删除。",
    },
}

KINDS: Mapping[str, Mapping[Language, str]] = {
    "private_key": {"en": "private key", "zh": "私钥"},
    "aws_access_key": {"en": "AWS access key", "zh": "AWS 访问密钥"},
    "aws_secret_key": {"en": "AWS secret access key", "zh": "AWS 私有访问密钥"},
    "azure_storage_key": {"en": "Azure storage key", "zh": "Azure 存储密钥"},
    "database_password": {"en": "database password", "zh": "数据库密码"},
    "alibaba_access_key": {"en": "Alibaba Cloud access key", "zh": "阿里云 AccessKey"},
    "tencent_secret_id": {"en": "Tencent Cloud secret id", "zh": "腾讯云 SecretId"},
    "google_api_key": {"en": "Google API key", "zh": "Google API 密钥"},
    "github_token": {"en": "GitHub token", "zh": "GitHub 令牌"},
    "gitlab_token": {"en": "GitLab token", "zh": "GitLab 令牌"},
    "hugging_face_token": {"en": "Hugging Face token", "zh": "Hugging Face 令牌"},
    "anthropic_api_key": {"en": "Anthropic API key", "zh": "Anthropic API 密钥"},
    "openai_api_key": {"en": "OpenAI API key", "zh": "OpenAI API 密钥"},
    "api_key": {"en": "API key", "zh": "API 密钥"},
    "slack_token": {"en": "Slack token", "zh": "Slack 令牌"},
    "stripe_key": {"en": "Stripe key", "zh": "Stripe 密钥"},
    "npm_token": {"en": "npm token", "zh": "npm 令牌"},
    "pypi_token": {"en": "PyPI token", "zh": "PyPI 令牌"},
    "sendgrid_key": {"en": "SendGrid key", "zh": "SendGrid 密钥"},
    "telegram_token": {"en": "Telegram bot token", "zh": "Telegram 机器人令牌"},
    "json_web_token": {"en": "JSON Web Token", "zh": "JSON Web Token"},
    "latin": {"en": "Latin", "zh": "拉丁字母"},
    "han": {"en": "Chinese characters", "zh": "汉字"},
    "kana": {"en": "Japanese", "zh": "日文"},
    "hangul": {"en": "Korean", "zh": "韩文"},
    "cyrillic": {"en": "Cyrillic", "zh": "西里尔字母"},
    "greek": {"en": "Greek", "zh": "希腊字母"},
    "arabic": {"en": "Arabic", "zh": "阿拉伯文"},
    "hebrew": {"en": "Hebrew", "zh": "希伯来文"},
    "devanagari": {"en": "Devanagari", "zh": "天城文"},
    "bengali": {"en": "Bengali", "zh": "孟加拉文"},
    "tamil": {"en": "Tamil", "zh": "泰米尔文"},
    "thai": {"en": "Thai", "zh": "泰文"},
    "other": {"en": "another script", "zh": "其他文字"},
    "none": {"en": "no letters", "zh": "无文字"},
}
"""Display names of the kinds of secrets and of the scripts. A special token is shown unchanged."""
NAMED_KINDS = 3
"""Maximum number of kinds that a message names."""


def warning_message(finding: Finding, compared_rows: int, language: Language) -> str:
    """Return the message of a finding."""
    kinds = [kind_word(kind, language) for kind in finding.found]
    more = ["…"] if len(kinds) > NAMED_KINDS else []
    found = ("、" if language == "zh" else ", ").join(kinds[:NAMED_KINDS] + more)
    return _WORDS[finding.code][language].format(
        rows=f"{finding.rows:,}", compared=f"{compared_rows:,}", found=found
    )


def kind_word(kind: str, language: Language) -> str:
    """Return the display name of a kind of secret or a script; other text is returned unchanged."""
    words = KINDS.get(kind)
    return kind if words is None else words[language]


def count_words(rows: int, language: Language, *, is_exact: bool) -> str:
    """Return a number of rows as part of a sentence, marked if it is an estimate."""
    if language == "zh":
        return f" {rows:,} " if is_exact else f"约 {rows:,} "
    return f"{rows:,}" if is_exact else f"about {rows:,}"
