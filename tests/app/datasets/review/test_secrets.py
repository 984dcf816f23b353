"""Secrets: their kinds and places are reported, never their text."""

import pytest

from app.datasets.review.findings import WarningCode
from tests.app.datasets.review.reviewed import alpaca, find, review

GITHUB = "ghp_" + "Ab3dEf9hIjKlMn0pQrStUvWxYz25A7c8G4k6"


@pytest.mark.parametrize(
    ("secret", "kind"),
    [
        (GITHUB, "github_token"),
        ("AKIA" + "Q3EHBD5KXM7RWZ2P", "aws_access_key"),
        ("sk-proj-" + "Xy7_kQ2mNv9-PzL4tRw8BsD3fGh6JcVa5eUiOn1Mq0ZxC", "openai_api_key"),
        ("hf_" + "QwErTyUiOpAsDfGhJkLzXcVbNmPoIuYtRe", "hugging_face_token"),
        ("LTAI" + "5tKq8Zr3WmXv9BdN2c", "alibaba_access_key"),
        ("-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq9xY2hV5n" * 4, "private_key"),
    ],
)
def test_secrets_are_reported_by_kind_and_place_but_never_by_their_text(
    secret: str, kind: str
) -> None:
    found = review([alpaca("How?", f"Set the variable to {secret} and run.")])

    (finding,) = found.findings
    assert (finding.code, finding.found) == (WarningCode.SECRETS, {kind: 1})
    assert (finding.places[0].field, finding.places[0].found) == ("output", kind)
    assert secret[10:30] not in found.model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_your_token_here",
        "The header is -----BEGIN PRIVATE KEY----- and a footer.",
        "task-0123456789abcdef0123456789abcdef",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_placeholders_and_hashes_are_not_secrets(text: str) -> None:
    assert WarningCode.SECRETS not in find([alpaca("q", text)])
