"""Checks of the errors that the client raises."""

import openai

from tests.openai.checks.case import Case, check, error_of


@check()
def rejected_rows_raise_an_error_that_names_the_file(case: Case) -> None:
    error = error_of(lambda: case.upload(b'{"a": 1}\n'))

    assert isinstance(error, openai.BadRequestError)
    assert (error.code, error.param) == ("dataset_invalid", "file")
    assert "row 1" in error.message


@check()
def an_unknown_file_raises_an_error_that_names_the_field(case: Case) -> None:
    error = error_of(lambda: case.create("file-0"))

    assert isinstance(error, openai.BadRequestError)
    assert (error.code, error.param) == ("file_not_found", "training_file")
    assert error.response.headers["x-request-id"]


@check()
def another_method_of_training_raises_an_error_that_names_the_method(case: Case) -> None:
    error = error_of(lambda: case.create("file-0", method={"type": "dpo"}))

    assert isinstance(error, openai.BadRequestError)
    assert (error.code, error.param) == ("unsupported_method", "method.type")


@check()
def a_wrong_hyperparameter_raises_an_error_that_names_it(case: Case) -> None:
    error = error_of(lambda: case.create("file-0", hyperparameters={"n_epochs": "many"}))

    assert isinstance(error, openai.BadRequestError)
    assert error.param == "hyperparameters.n_epochs"
    assert error.code


@check()
def an_unknown_job_raises_not_found(case: Case) -> None:
    jobs = case.client.fine_tuning.jobs
    requests = (
        lambda: jobs.retrieve("ftjob-0"),
        lambda: jobs.cancel("ftjob-0"),
        lambda: list(jobs.list_events("ftjob-0")),
    )

    errors = [error_of(request) for request in requests]

    assert [type(error) for error in errors] == [openai.NotFoundError] * 3
    assert [error.code for error in errors] == ["job_not_found"] * 3
    assert all("ftjob-0" in error.message for error in errors)


@check()
def an_unknown_route_raises_not_found(case: Case) -> None:
    error = error_of(lambda: case.client.get("/assistants", cast_to=dict[str, object]))

    assert isinstance(error, openai.NotFoundError)
    assert error.code
    assert "/v1/assistants" in error.message


@check()
def a_conflict_is_raised_after_one_try(case: Case) -> None:
    error = error_of(lambda: case.client.fine_tuning.jobs.cancel(case.job.id))

    assert isinstance(error, openai.ConflictError)
    assert error.code == "job_already_ended"
    assert case.job.id in error.message
    # Early versions do not send the number of the try.
    assert error.response.request.headers.get("x-stainless-retry-count", "0") == "0"
