"""The stream's events in the OpenAPI document, compared with the frames that the server sends."""

import json
from typing import Any, get_args, get_type_hints

from fastapi import FastAPI
from pydantic import TypeAdapter
from typing_extensions import is_typeddict

from app.db.engine import Database
from app.series.line import Place
from app.stream import frames
from app.stream.frames import Frame
from app.stream.schemas import StreamEvent
from contracts.base import utc_now
from contracts.failure import FailureReason
from contracts.job import Phase
from contracts.record import PhaseRecord
from tests.app.player import Player
from tests.factories import make_metric

MODELS = {
    get_args(model.model_fields["event"].annotation)[0]: model
    for model in get_args(StreamEvent.model_fields["root"].annotation)
}


def fields_of(frame: Frame) -> dict[str, str]:
    lines = frame.encode("en").decode().splitlines()
    return dict(line.split(": ", 1) for line in lines if line)


def test_every_frame_matches_the_openapi_document(
    player: Player, database: Database, app: FastAPI
) -> None:
    job = player.submit()
    first = player.claim()
    phase = PhaseRecord(seq=1, at=utc_now(), phase=Phase.TRAINING, total_steps=9)
    player.sync(first, phase, make_metric(2, 1), make_metric(3, 2, loss=float("nan")))
    with database.reading() as session:
        first_update = frames.read_update(session, job, Place())
    player.fail(first, FailureReason.LOSS_NOT_FINITE)
    player.client.post(f"/v1/jobs/{job}/retry")
    player.sync(player.claim(), make_metric(1, 1))
    with database.reading() as session:
        second_update = frames.read_update(session, job, first_update.place)
    sent = [*first_update.frames, *second_update.frames, frames.dropped_frame()]
    sent += [
        make(second_update) for make in (frames.status_frame, frames.phase_frame, frames.done_frame)
    ]

    for frame in sent:
        fields = fields_of(frame)
        model = MODELS[fields["event"]]
        data = json.loads(fields["data"])
        shape: Any = model.model_fields["data"].annotation
        TypeAdapter(shape).validate_python(data)
        assert set(fields) == set(model.model_fields)
        assert set(data) == set(
            get_type_hints(shape) if is_typeddict(shape) else shape.model_fields
        )
    assert {fields_of(frame)["event"] for frame in sent} == set(MODELS)


def test_the_openapi_document_contains_the_model_of_each_event(app: FastAPI) -> None:
    document = app.openapi()
    response = document["paths"]["/v1/jobs/{job_id}/stream"]["get"]["responses"]["200"]
    item = response["content"]["text/event-stream"]["itemSchema"]
    schemas = document["components"]["schemas"]

    assert item == {"$ref": "#/components/schemas/StreamEvent"}
    text = json.dumps(document)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas
    assert schemas["DoneEvent"]["properties"]["data"]["contentSchema"]["$ref"].endswith("DoneData")
