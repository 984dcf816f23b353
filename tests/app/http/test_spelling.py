"""A misspelt field is compared with the fields of the body that its own route takes."""

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.testclient import TestClient

from app.http import handlers


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Wheel(_Strict):
    diameter: int = 0


class Engine(_Strict):
    cylinders: int = 0


class Car(_Strict):
    color: str = ""
    engine: Engine | None = None
    wheels: list[Wheel] = []


@pytest.fixture
def cars() -> TestClient:
    app = FastAPI()
    handlers.install(app)

    @app.post("/cars")
    def create_car(car: Car) -> Car:
        return car

    return TestClient(app)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"colour": "red"}, "Did you mean color?"),
        ({"engine": {"cylinder": 4}}, "Did you mean cylinders?"),
        ({"wheels": [{}, {"diametre": 1}]}, "Did you mean diameter?"),
        ({"learning-rate": 1}, None),
        ({"modle": "a field of a job, and not of a car"}, None),
    ],
)
def test_the_suggestion_comes_from_the_routes_own_body(
    cars: TestClient, body: dict[str, object], hint: str | None
) -> None:
    answer = cars.post("/cars", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"].get("hint") == hint
