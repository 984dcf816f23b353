"""Reads the outcomes that workers send. A large preview is read row by row, so that other requests are answered meanwhile.

One call that validates the largest preview takes about a second, during which the interpreter runs no other thread.
"""

import json
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from contracts.errands.errand import ErrandOutcome, PreviewResult, PreviewRow


def read_outcome(body: bytes) -> ErrandOutcome:
    """Return the outcome in the body of a request. Raises RequestValidationError. Call it in a thread."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        problem: dict[str, Any] = {
            "type": "json_invalid",
            "loc": ("body", 0),
            "msg": "",
            "input": {},
        }
        problem["ctx"] = {"error": str(error)}
        raise RequestValidationError([problem]) from error
    try:
        if isinstance(content, dict):
            content["result"] = _with_rows(content.get("result"))
        return ErrandOutcome.model_validate(content)
    except ValidationError as error:
        errors = [dict(each) | {"loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(errors) from error


def read_preview(content: bytes) -> PreviewResult:
    """Return a stored preview. Call it in a thread."""
    return PreviewResult.model_validate(_with_rows(json.loads(content)))


def _with_rows(result: Any) -> Any:
    """Return the result of an errand with validated rows, if it is a preview. Raises ValidationError."""
    rows = result.get("rows") if isinstance(result, dict) else None
    if not isinstance(rows, list) or result.get("kind") != "preview":
        return result
    return result | {"rows": [PreviewRow.model_validate(row) for row in rows]}
