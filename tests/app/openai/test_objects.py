"""Every object has the fields and types of the models in OpenAI's own client, which does not check them itself."""

from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.pagination import SyncCursorPage
from openai.types import FileDeleted, FileObject, Model, ModelDeleted, Upload
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from openai.types.uploads import UploadPart
from pydantic import BaseModel

from contracts.base import utc_now
from contracts.record import CheckpointRecord, EvalRecord
from tests.app.openai.test_events import metric, path_of
from tests.app.openai.test_files import CONTENT
from tests.app.openai.test_files import create as create_file
from tests.app.openai.test_jobs import JOBS, create
from tests.app.player import BASE_URL, Player


def check(kind: type[BaseModel], response: httpx2.Response) -> Any:
    """Validate a response strictly, also that no field of the model is missing or has the wrong type. Return its JSON."""
    assert response.status_code == 200, response.text
    assert response.headers["x-request-id"]
    found = kind.model_validate_json(response.content, strict=True)
    given = response.json()
    missing = kind.model_fields.keys() - given.keys() - {"shutdown_date"}
    assert not missing, f"{kind.__name__} has no {missing}"
    assert found.model_dump(mode="json", exclude_unset=True).keys() == given.keys()
    return given


def check_list(kind: type[BaseModel], response: httpx2.Response) -> list[Any]:
    """Validate a list and its objects. Return the objects."""
    page = response.json()
    assert (page["object"], type(page["has_more"])) == ("list", bool)
    data: list[Any] = page["data"]
    SyncCursorPage[Any].model_validate(page, strict=True)
    for each in data:
        kind.model_validate(each, strict=True)
        assert kind.model_fields.keys() - {"shutdown_date"} <= each.keys()
    if "first_id" in page:
        ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        assert (page["first_id"], page["last_id"]) == ends
    return data


def test_files_and_uploads_have_the_types_of_the_client(player: Player) -> None:
    client = player.client
    new = {"filename": "a.jsonl", "bytes": len(CONTENT), "purpose": "fine-tune", "mime_type": ""}
    upload = check(Upload, client.post("/v1/uploads", json=new))["id"]
    posted = client.post(f"/v1/uploads/{upload}/parts", files={"data": CONTENT})
    part = check(UploadPart, posted)["id"]
    completed = client.post(f"/v1/uploads/{upload}/complete", json={"part_ids": [part]})
    file = check(Upload, completed)["file"]
    FileObject.model_validate(file, strict=True)

    fields = {"purpose": "fine-tune"}
    check(FileObject, client.post("/v1/files", files={"file": ("a", CONTENT)}, data=fields))
    check(FileObject, client.get(f"/v1/files/{file['id']}"))
    assert len(check_list(FileObject, client.get("/v1/files"))) == 2
    check(FileDeleted, client.delete(f"/v1/files/{file['id']}"))
    cancelled = client.post("/v1/uploads", json=new).json()["id"]
    check(Upload, client.post(f"/v1/uploads/{cancelled}/cancel"))


def test_jobs_have_the_types_of_the_client_in_each_state(player: Player) -> None:
    client = player.client
    job = create(player, metadata={"a": "b"})
    path = f"{JOBS}/{job['id']}"
    check(FineTuningJob, client.get(path))
    claim = player.claim()
    player.sync(
        claim,
        metric(1, 1, 2.5, token_accuracy=0.25),
        EvalRecord(seq=2, at=utc_now(), step=1, loss=2.0, tokens=5, token_accuracy=0.5),
        CheckpointRecord(seq=3, at=utc_now(), step=1, name="c", bytes=3),
        metric(4, 2, float("nan")),
        CheckpointRecord(seq=5, at=utc_now(), step=2, name="d", bytes=3),
    )
    check(FineTuningJob, client.get(path))

    events = check_list(FineTuningJobEvent, client.get(f"{path}/events"))
    assert {event["type"] for event in events} == {"message", "metrics"}
    newer, older = check_list(FineTuningJobCheckpoint, client.get(f"{path}/checkpoints"))
    assert older["metrics"] == {
        "step": 1,
        "train_loss": 2.5,
        "train_mean_token_accuracy": 0.25,
        "valid_loss": 2.0,
        "valid_mean_token_accuracy": 0.5,
        "full_valid_loss": 2.0,
        "full_valid_mean_token_accuracy": 0.5,
    }
    assert newer["metrics"] == dict.fromkeys(older["metrics"]) | {"step": 2}

    player.succeed(claim, last_seq=5)
    done = check(FineTuningJob, client.get(path))
    assert done["fine_tuned_model"]
    for file in (*done["result_files"], done["adapter_file"]):
        check(FileObject, client.get(f"/v1/files/{file}"))
    failed = path_of(player.submit())
    player.finish(player.claim(), "failed", failure={"reason": "spec_refused", "detail": "x"})
    assert check(FineTuningJob, client.get(failed))["error"]["code"] == "spec_refused"
    check(FineTuningJob, client.post(f"{path_of(player.submit())}/cancel"))
    assert len(check_list(FineTuningJob, client.get(JOBS))) == 3

    model = check(Model, client.get(f"/v1/models/{done['fine_tuned_model']}"))
    assert [each["id"] for each in check_list(Model, client.get("/v1/models"))] == [model["id"]]
    check(ModelDeleted, client.delete(f"/v1/models/{done['fine_tuned_model']}"))


class Recorder(httpx2.BaseTransport):
    """Passes requests on, and counts them."""

    def __init__(self, transport: httpx2.BaseTransport) -> None:
        self.transport = transport
        self.requests = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        return self.transport.handle_request(request)


def test_the_client_sends_a_request_with_a_final_error_only_once(player: Player) -> None:
    link = Recorder(player.client._transport)
    file = create_file(player)["id"]
    job = create(player, training_file=file)
    with OpenAI(
        base_url=f"{BASE_URL}/v1", api_key="any", http_client=httpx2.Client(transport=link)
    ) as client:
        client.fine_tuning.jobs.cancel(job["id"])
        for call, status in (
            (lambda: client.fine_tuning.jobs.pause(job["id"]), 409),
            (lambda: client.fine_tuning.jobs.retrieve("ftjob-0"), 404),
            (lambda: client.fine_tuning.jobs.create(model="a b", training_file=file), 400),
            (lambda: client.files.delete("file-0"), 404),
            (lambda: client.models.retrieve("ft:none"), 404),
        ):
            before = link.requests
            with pytest.raises(openai.APIStatusError) as rejected:
                call()
            assert (rejected.value.status_code, link.requests) == (status, before + 1)
            assert rejected.value.request_id == rejected.value.response.headers["x-request-id"]
