"""Names of models and datasets, and revisions on the hub."""

from typing import Annotated

from pydantic import StringConstraints

from contracts.field_error import FieldProblem, one_error

ModelName = Annotated[
    str,
    StringConstraints(
        # `name` or `owner/name`; each part begins with a letter or digit and contains no consecutive dots.
        pattern=r"^[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*(?:/[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*)?$",
        max_length=200,
    ),
    one_error(FieldProblem.INVALID_MODEL_NAME),
]
Revision = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=100)
]
