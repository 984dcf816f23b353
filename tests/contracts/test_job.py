from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contracts import data_spec, job
from contracts.base import Strict
from contracts.data_spec import DatasetSpec
from contracts.job import JobSpec, JobStatus, list_newer_defaults, load_stored_spec
from tests.factories import make_spec

KNOWN_TO_THE_FIRST_WORKERS = {
    "token_budget",
    "activation_checkpointing",
    "dequantize_base",
    "fused_optimizer",
    "compile",
}
WHOLE = {"model": "Qwen/Qwen2-0.5B-Instruct", "dataset": {"train": "ds_0123abcd"}}


def test_the_default_settings_match_the_reference_run() -> None:
    spec = JobSpec.model_validate(WHOLE)

    assert (spec.lora.rank, spec.lora.alpha, spec.lora.target_modules) == (64, 128, "all-linear")
    assert spec.effective_batch_size == 16
    assert (spec.training.learning_rate, spec.training.lr_scheduler) == (2e-4, "cosine")
    assert (spec.training.epochs, spec.training.max_steps) == (1, None)
    assert spec.quantization.type == "nf4"


def test_a_spec_survives_a_round_trip_through_json() -> None:
    spec = make_spec(
        dataset={"train": {"hub": "owner/rows", "split": "train[:10]"}, "eval_size": 0.5},
        training={"warmup_steps": 0.03, "early_stopping": {"patience": 2}},
    )

    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("change", "place", "kind"),
    [
        ({"learning_rate": 1e-4}, ("learning_rate",), "extra_forbidden"),
        ({"training": {"learning_rates": 1}}, ("training", "learning_rates"), "extra_forbidden"),
        ({"training": {"learning_rate": "2e-4"}}, ("training", "learning_rate"), "float_type"),
        ({"training": {"learning_rate": 0}}, ("training", "learning_rate"), "greater_than"),
        (
            {"training": {"learning_rate": float("nan")}},
            ("training", "learning_rate"),
            "finite_number",
        ),
        ({"training": {"epochs": True}}, ("training", "epochs"), "int_type"),
        ({"training": {"warmup_steps": 1.5}}, ("training", "warmup_steps"), "invalid_warmup_steps"),
        ({"lora": {"rank": 0}}, ("lora", "rank"), "greater_than_equal"),
        ({"lora": {"dropout": 1}}, ("lora", "dropout"), "less_than"),
        ({"lora": {"target_modules": []}}, ("lora", "target_modules"), "invalid_target_modules"),
        (
            {"quantization": {"compute_dtype": "float16"}},
            ("quantization", "compute_dtype"),
            "not_an_option",
        ),
        ({"model": "../../etc"}, ("model",), "invalid_model_name"),
        ({"model": "a/b/c"}, ("model",), "invalid_model_name"),
        ({"model": "a..b"}, ("model",), "invalid_model_name"),
        ({"model": ""}, ("model",), "invalid_model_name"),
        ({"dataset": {"train": "file-1"}}, ("dataset", "train", "(id)"), "invalid_dataset_id"),
        (
            {"dataset": {"train": "ds_0123abcd", "eval_size": 0}},
            ("dataset", "eval_size"),
            "invalid_eval_size",
        ),
        (
            {"dataset": {"train": "ds_0123abcd", "eval_size": 1.5}},
            ("dataset", "eval_size"),
            "invalid_eval_size",
        ),
        ({"engine": {"token_budget": 1}}, ("engine", "token_budget"), "invalid_token_budget"),
        ({"labels": {"": "x"}}, ("labels", "", "[key]"), "string_too_short"),
        ({"queue": "Über"}, ("queue",), "string_pattern_mismatch"),
    ],
)
def test_an_invalid_field_is_reported_once(
    change: dict[str, Any], place: tuple[str, ...], kind: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(WHOLE | change)

    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [(place, kind)]


def numbers_of(schema: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and the schema of each part of a JSON schema that accepts a number."""
    if isinstance(schema, dict):
        kinds = schema.get("type")
        if {"integer", "number"} & set([kinds] if isinstance(kinds, str) else kinds or []):
            yield place, schema
        for key, inner in schema.items():
            yield from numbers_of(inner, f"{place}/{key}")
    elif isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from numbers_of(inner, f"{place}/{number}")


def test_every_number_has_bounds_that_a_double_can_represent() -> None:
    found = dict(numbers_of(JobSpec.model_json_schema()))
    assert len(found) >= 20

    for place, schema in found.items():
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        assert low is not None, place
        assert high is not None, place
        assert -(2**53) <= low < high <= 2**53, place


def test_a_number_with_4000_digits_is_rejected_in_every_field() -> None:
    huge = int("9" * 4000)
    fields = [
        (part, name)
        for part in ("training", "lora", "evaluation", "checkpoint", "engine")
        for name in getattr(make_spec(), part).model_dump()
    ]
    changes: list[dict[str, Any]] = [{part: {name: huge}} for part, name in fields]
    changes += [
        {"priority": huge},
        {"dataset": {"train": "ds_0123abcd", "eval_size": huge}},
        {"training": {"early_stopping": {"patience": huge}}},
    ]
    for change in changes:
        with pytest.raises(ValidationError):
            JobSpec.model_validate(WHOLE | change)


def test_a_stored_spec_with_numbers_beyond_the_bounds_still_loads() -> None:
    huge = int("9" * 4000)
    stored = make_spec().model_dump(mode="json")
    stored["training"]["warmup_steps"] = stored["engine"]["token_budget"] = huge
    stored["dataset"]["eval_size"] = huge

    spec = load_stored_spec(stored)

    assert spec.training.warmup_steps == 100_000_000
    assert spec.engine.token_budget == 100_000_000
    assert spec.dataset.eval_size == 1_000_000_000
    assert load_stored_spec(spec.model_dump(mode="json")) == spec
    assert stored["training"]["warmup_steps"] == huge


def test_every_field_has_a_description() -> None:
    """Without a description, neither the API's schema nor the form explains a field."""
    parts = [
        each
        for each in (*vars(job).values(), *vars(data_spec).values())
        if isinstance(each, type) and issubclass(each, Strict)
    ]
    undescribed = [
        f"{part.__name__}.{name}"
        for part in parts
        for name, field in part.model_fields.items()
        if not field.description
        and not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    ]

    assert undescribed == []


def test_only_succeeded_failed_and_cancelled_are_final() -> None:
    assert [status for status in JobStatus if status.is_final] == [
        "succeeded",
        "failed",
        "cancelled",
    ]


@pytest.mark.parametrize(
    ("size", "rows", "expected"),
    [
        ("auto", 10, 1),
        ("auto", 1000, 20),
        ("auto", 100_000, 2000),
        ("auto", 10**6, 2000),
        (16, 100, 16),
        (0.25, 100, 25),
        (0.001, 100, 1),
    ],
)
def test_eval_size_may_be_a_count_a_share_or_auto(size: Any, rows: int, expected: int) -> None:
    assert DatasetSpec(train="ds_01234567", eval_size=size).held_out_rows(rows) == expected


def test_a_spec_without_newer_settings_is_written_as_earlier_versions_wrote_it() -> None:
    spec = JobSpec.model_validate(WHOLE)
    left_out = list_newer_defaults(spec)
    assert left_out == {
        "preset": True,
        "resources": True,
        "engine": {"fused_lora"},
        "dataset": {"preference"},
    }

    written = spec.model_dump(mode="json", exclude=left_out)
    assert "resources" not in written
    assert set(written["engine"]) == KNOWN_TO_THE_FIRST_WORKERS

    changed = spec.model_copy(
        update={"engine": spec.engine.model_copy(update={"fused_lora": True})}
    )
    assert list_newer_defaults(changed) == {
        "preset": True,
        "resources": True,
        "dataset": {"preference"},
    }
