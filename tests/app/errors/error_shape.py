"""Checks that an error response has the documented shape."""

import re
from typing import Any

from httpx2 import Response

from app.datasets.files.file_error import FileProblem
from app.errors import words as messages
from app.errors.field_words import FieldCode
from contracts.dataset.row_error import RowProblem
from contracts.field_error import FieldProblem

FIELD_CODES = {*FieldCode, *FieldProblem}
FILE_CODES = {*RowProblem, *FileProblem}
WITH_ERRORS = {
    "invalid_field": FIELD_CODES,
    "dataset_invalid": FILE_CODES,
    "dataset_unreadable": FILE_CODES,
}
"""The codes of the entries of `errors`, by the codes of the errors that have them."""
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
    assert ("errors" in error) == (error["code"] in WITH_ERRORS)
    if "errors" in error:
        assert error["errors"][0]["param"] == error["param"]
        for each in error["errors"]:
            assert set(each) == {"param", "code", "message"}
            assert each["code"] in WITH_ERRORS[error["code"]]
            assert each["message"]
    assert error["message"]
    assert error["code"] in messages.ERRORS
    assert error["param"] is None or error["param"]
    assert "detail" not in body
    assert re.fullmatch(r"[A-Za-z0-9._:-]+", response.headers["x-request-id"])
    if response.status_code in {400, 401, 404, 405, 413}:
        assert response.headers["x-should-retry"] == "false"
    return error
