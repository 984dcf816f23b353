"""Errors in user input, each as a code and values. The server turns them into a sentence in the caller's language."""

from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Any, get_args

from pydantic import GetCoreSchemaHandler, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError, core_schema


class FieldProblem(StrEnum):
    """Stepline's own reasons for rejecting a value, in addition to pydantic's error types."""

    INVALID_EVAL_SIZE = "invalid_eval_size"
    INVALID_WARMUP_STEPS = "invalid_warmup_steps"
    INVALID_TARGET_MODULES = "invalid_target_modules"
    INVALID_TOKEN_BUDGET = "invalid_token_budget"
    INVALID_GPUS = "invalid_gpus"
    INVALID_COUNT_OR_AUTO = "invalid_count_or_auto"
    INVALID_NUMBER_OR_AUTO = "invalid_number_or_auto"
    INVALID_MODEL_NAME = "invalid_model_name"
    INVALID_DATASET_ID = "invalid_dataset_id"
    INVALID_SPLIT = "invalid_split"
    DUPLICATE_DATASET = "duplicate_dataset"
    INVALID_TIME = "invalid_time"
    YEAR_OUT_OF_RANGE = "year_out_of_range"
    NOT_TRUE_FALSE_OR_AUTO = "not_true_false_or_auto"
    NOT_AN_OPTION = "not_an_option"
    NOT_A_FILE = "not_a_file"
    BEYOND_CONTEXT = "beyond_context"
    UNKNOWN_MODULE = "unknown_module"
    TEMPLATE_LACKS = "template_lacks"
    UNKNOWN_PRESET = "unknown_preset"
    PREFERENCE_REQUIRED = "preference_required"


def field_error(problem: FieldProblem, **values: object) -> PydanticCustomError:
    """Return an error for a validator to raise. Its `type` is the problem's code, and its `ctx` contains the values.

    The error's message is for logs and tracebacks.
    """
    shown = ", ".join(f"{name}={value}" for name, value in values.items())
    return PydanticCustomError(problem.value, f"{problem.value} {shown}".rstrip(), values)


def one_error(problem: FieldProblem, **values: object) -> WrapValidator:
    """Replace all errors for a value with a single one, because pydantic reports one per union member."""

    def validate(value: Any, inner: Callable[[Any], Any]) -> Any:
        try:
            return inner(value)
        except ValidationError as error:
            raise field_error(problem, **values) from error

    return WrapValidator(validate)


class OneOf:
    """Annotates a Literal or an Enum. Any other value raises NOT_AN_OPTION with the list of `options`.

    pydantic's own error lists the options only in its English message.
    """

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the type's schema, wrapped in a validator that replaces its errors."""
        options = (
            [member.value for member in source]
            if isinstance(source, type) and issubclass(source, Enum)
            else list(get_args(source))
        )

        def validate(value: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            try:
                return inner(value)
            except ValidationError as error:
                raise field_error(FieldProblem.NOT_AN_OPTION, options=options) from error

        return core_schema.no_info_wrap_validator_function(validate, handler(source))
