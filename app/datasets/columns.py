"""The upload parameters that choose the format and columns: `?format=prompt&columns[prompt]=question`."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from app.errors.base import FieldError
from app.errors.field_hints import guess_hint
from app.errors.field_words import field_message
from app.errors.kinds import InvalidField
from app.http.negotiation.language import LanguageDep
from app.http.spelling import nearest_name
from contracts.dataset.columns.mapping import ALL_KNOWN, KNOWN, Columns
from contracts.dataset.conversation import Form
from contracts.failure import Language
from contracts.field_error import FieldProblem, OneOf

MOST_CHARACTERS = 200
"""Maximum length of a column name."""

COLUMNS_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "columns",
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "description": "Maps the format's column names to the file's, such as `columns[instruction]=question`.",
            "schema": {
                "type": "object",
                "properties": {
                    name: {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS}
                    for name in ALL_KNOWN
                },
                "additionalProperties": False,
            },
        }
    ]
}
"""Describes the parameter in the OpenAPI document, because FastAPI cannot derive it."""


async def read_columns(
    request: Request,
    language: LanguageDep,
    form: Annotated[
        Annotated[Form, OneOf()] | None,
        Query(
            alias="format",
            description="Format of all rows; by default, each row's columns determine its format.",
        ),
    ] = None,
) -> Columns:
    """Return the choice made in the query. Raises InvalidField."""
    sources: dict[str, str] = {}
    for key, source in request.query_params.multi_items():
        if not key.startswith("columns"):
            continue
        name = key.removeprefix("columns[").removesuffix("]")
        is_column = key == f"columns[{name}]"
        _check_column(name, source, key, form, language, is_column=is_column)
        sources[name] = source
    return Columns(form, sources)


def choose_columns(form: Form | None, sources: Mapping[str, str], language: Language) -> Columns:
    """Return the choice made in a JSON body. Raises InvalidField."""
    for name, source in sources.items():
        _check_column(name, source, f"columns.{name}", form, language)
    return Columns(form, sources)


def _check_column(
    name: str,
    source: str,
    param: str,
    form: Form | None,
    language: Language,
    *,
    is_column: bool = True,
) -> None:
    known = ALL_KNOWN if form is None else KNOWN[form]
    if name not in known or not is_column:
        raise _unknown_column(name, param, known, language)
    if not 0 < len(source) <= MOST_CHARACTERS:
        kind = "string_too_long" if source else "string_too_short"
        bounds = {"min_length": 1, "max_length": MOST_CHARACTERS}
        raise InvalidField([_problem(param, kind, bounds, source, language)])


def _unknown_column(
    name: str, key: str, known: tuple[str, ...], language: Language
) -> InvalidField:
    problem = _problem(
        key[:100], FieldProblem.NOT_AN_OPTION, {"options": list(known)}, name, language
    )
    return InvalidField([problem], hint=guess_hint(nearest_name(name, known), language))


def _problem(
    param: str, kind: str, values: dict[str, Any], given: object, language: Language
) -> FieldError:
    code, message = field_message([{"type": kind, "ctx": values, "input": given}], language)
    return FieldError(param=param, code=code, message=message)


ColumnsDep = Annotated[Columns, Depends(read_columns)]
