"""Finds secrets by the prefixes that their issuers document, or by their name. Placeholders and examples are not reported.

Other secrets are not found, because other random text (hashes, ids, base64) would look the same.
"""

import re
from dataclasses import dataclass

FEWEST_DISTINCT = 8
"""A random key has more distinct characters than this; `sk-xxxxxxxxxxxxxxxx` does not."""
_EXAMPLE = re.compile(
    r"example|x{4}|\*{3}|\.{3}|your|1234567|abcdefg|0{8}|placeholder|dummy|test", re.IGNORECASE
)
_PLACEHOLDER = re.compile(
    r"[<>{}$%\[\]*]|pass|pw|secret|user|admin|root|change|qwerty|guest|default|postgres|mysql|mongo|redis|12345",
    re.IGNORECASE,
)
"""Passwords in examples of connection strings."""


@dataclass(frozen=True)
class _Kind:
    name: str
    marker: str
    """Every secret of this kind contains this text. Searching for it is much faster than matching the pattern."""
    pattern: re.Pattern[str]


def _kind(name: str, marker: str, pattern: str) -> _Kind:
    # A secret begins and ends at a word boundary.
    return _Kind(name, marker, re.compile(rf"(?<![A-Za-z0-9_\-])(?:{pattern})(?![A-Za-z0-9_\-])"))


_KINDS = (
    _Kind(
        "private_key",
        "PRIVATE KEY",
        # The header must be followed by content, because texts about keys often contain the header alone.
        re.compile(
            r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n|\\r)*[A-Za-z0-9+/=:\- ,\r\n]{64}"
        ),
    ),
    _kind("aws_access_key", "AKIA", r"AKIA[A-Z2-7]{16}"),
    _kind("aws_access_key", "ASIA", r"ASIA[A-Z2-7]{16}"),
    *(
        # 40 characters of base64 look like many other things, so the name must precede them.
        _kind(
            "aws_secret_key",
            marker,
            r"(?i:(?:aws_?)?secret_?access_?key)[\"'\s:=]{1,8}([A-Za-z0-9/+]{40})(?![/+=])",
        )
        for marker in ("ecret", "ECRET")
    ),
    _kind("azure_storage_key", "AccountKey=", r"AccountKey=([A-Za-z0-9+/]{86}==)"),
    _kind("alibaba_access_key", "LTAI", r"LTAI[A-Za-z0-9]{12,20}"),
    _kind("tencent_secret_id", "AKID", r"AKID[A-Za-z0-9]{32}"),
    _kind("google_api_key", "AIza", r"AIza[A-Za-z0-9_\-]{35}"),
    _kind("github_token", "gh", r"gh[pousr]_[A-Za-z0-9]{36,251}"),
    _kind("github_token", "github_pat_", r"github_pat_[A-Za-z0-9_]{82}"),
    _kind("gitlab_token", "glpat-", r"glpat-[A-Za-z0-9_\-]{20,}"),
    _kind("hugging_face_token", "hf_", r"hf_[A-Za-z]{34}"),
    _kind("anthropic_api_key", "sk-ant-", r"sk-ant-[A-Za-z0-9_\-]{24,}"),
    _kind("openai_api_key", "T3BlbkFJ", r"sk-[A-Za-z0-9_\-]{16,}T3BlbkFJ[A-Za-z0-9_\-]{16,}"),
    _kind("openai_api_key", "sk-proj-", r"sk-proj-[A-Za-z0-9_\-]{40,}"),
    _kind(
        "api_key", "sk-", r"sk-(?:[0-9a-f]{32}|[A-Za-z0-9]{48})"
    ),  # DeepSeek, DashScope, Moonshot
    _kind("api_key", "gsk_", r"gsk_[A-Za-z0-9]{40,}"),  # Groq
    _kind("slack_token", "xox", r"xox[abeprs]-[A-Za-z0-9\-]{20,}"),
    _kind("stripe_key", "_live_", r"[sr]k_live_[A-Za-z0-9]{20,}"),
    _kind("npm_token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _kind("pypi_token", "pypi-", r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_\-]{50,}"),
    _kind("sendgrid_key", "SG.", r"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}"),
    _kind("telegram_token", ":AA", r"[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}"),
    _kind(
        "json_web_token",
        "eyJ",
        r"eyJ[A-Za-z0-9_\-]{16,}\.eyJ[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{32,}",
    ),
    _Kind(
        "database_password",
        "://",
        re.compile(
            r"(?i:postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?)(?:\+[a-z0-9]{1,20})?"
            r"://[^\s:/@\"'`]{0,60}:([^\s:/@\"'`]{6,100})@[A-Za-z0-9]"
        ),
    ),
)


def find_secret(text: str) -> tuple[str, str] | None:
    """Return the kind of the first secret in a text, and the secret itself, or None. The secret must not be stored or shown."""
    for kind in _KINDS:
        if kind.marker not in text:
            continue
        for found in kind.pattern.finditer(text):
            secret = found[found.lastindex or 0]
            if _is_real(kind.name, secret):
                return kind.name, secret
    return None


def _is_real(kind: str, secret: str) -> bool:
    """Return whether a secret is not a placeholder."""
    if kind == "private_key":
        return True
    if _EXAMPLE.search(secret):
        return False
    if kind == "database_password":
        # People choose passwords, so these are shorter than keys.
        is_mixed = any(map(str.isdigit, secret)) and any(map(str.isalpha, secret))
        return is_mixed and not _PLACEHOLDER.search(secret)
    return len(set(secret)) > FEWEST_DISTINCT
