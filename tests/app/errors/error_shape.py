"""Checks that an error response has the documented shape."""

import re
from typing import Any

from httpx2 import Response

from app.errors import words as messages
from app.errors.field_words import FieldCode
from contracts.field_error import FieldProblem

FIELD_CODES = {*FieldCode, *FieldProblem}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def check_shape(response: Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert (
        {"message", "type", "param", "code"}
        <= set(error)
        <= {"message", "type", "param", "code", "hint", "errors"}
    )
    assert ("errors" in error) == (error["code"] == "invalid_field")
    if "errors" in error:
        assert error["errors"][0]["param"] == error["param"]
        for each in error["errors"]:
            assert set(each) == {"param", "code", "message"}
            assert each["code"] in FIELD_CODES
            assert each["message"]
    assert error["message"]
    assert error["code"] in messages.ERRORS
    assert error["param"] is None or error["param"]
    assert "detail" not in body
    assert re.fullmatch(r"[A-Za-z0-9._:-]+", response.headers["x-request-id"])
    if response.status_code in {400, 401, 404, 405, 413}:
        assert response.headers["x-should-retry"] == "false"
    return error
