"""The suggestion for a misspelled field comes only from the fields that its route accepts."""

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
        ({"modle": "a field of a job, not of a car"}, None),
    ],
)
def test_a_suggestion_comes_only_from_the_fields_of_the_same_route(
    cars: TestClient, body: dict[str, object], hint: str | None
) -> None:
    response = cars.post("/cars", json=body)

    assert response.status_code == 400
    assert response.json()["error"].get("hint") == hint
