"""The models on the workers: their list, and the rejection of jobs that do not fit them."""

from datetime import timedelta
from typing import Any

from sqlalchemy import event, update

from app.config.settings import Settings
from app.db.engine import Database, database_now
from app.db.tables import Worker
from app.sweep.sweeper import Sweeper
from app.workers.store import LIVE_SECONDS
from contracts.model_facts import MOST_MODELS, ModelFacts, split_report
from contracts.protocol.wire import MODELS_PATH
from tests.app.bellringer import Bellringer
from tests.app.player import WORKER, Player

QWEN = ModelFacts(
    name="Qwen/Qwen2-0.5B",
    architecture="Qwen2ForCausalLM",
    parameters=494_032_768,
    bytes=988_097_824,
    max_length=32_768,
    linear_modules=["k_proj", "o_proj", "q_proj", "v_proj"],
    chat_template="qwen2",
    license="apache-2.0",
)


def announce(player: Player, *models: ModelFacts, hub: bool = False, worker: str = "w1") -> None:
    """Send a hello and a report of the worker's models, as a worker does."""
    names = None if hub else [facts.name for facts in models]
    player.hello(worker_id=worker, models=names)
    player.report_models(worker, *models)


def plan_of(player: Player, **changes: Any) -> Any:
    body = {"model": QWEN.name, "dataset": {"train": player.upload()}} | changes
    return player.client.post("/v1/jobs?dry_run=true", json=body).json()


def problems_of(answer: Any) -> list[tuple[str, str]]:
    return [(each["param"], each["code"]) for each in answer["error"]["errors"]]


def test_models_are_listed_with_openais_keys_and_their_facts(player: Player) -> None:
    announce(player, QWEN, ModelFacts(name="tiny"))
    announce(player, QWEN, hub=True, worker="w2")

    page = player.get("/v1/models")

    assert (page["object"], page["has_more"]) == ("list", False)
    assert [model["id"] for model in page["data"]] == ["Qwen/Qwen2-0.5B", "tiny"]
    qwen, tiny = page["data"]
    assert {key: qwen[key] for key in ("object", "owned_by")} == {
        "object": "model",
        "owned_by": "Qwen",
    }
    assert isinstance(qwen["created"], int)
    assert qwen["created"] > 1_500_000_000
    facts = QWEN.model_dump(exclude={"name", "module_paths", "is_main"})
    assert {key: qwen[key] for key in facts} == facts
    assert [(worker["id"], worker["live"]) for worker in qwen["workers"]] == [
        ("w1", True),
        ("w2", True),
    ]
    assert (tiny["owned_by"], tiny["checked"], tiny["max_length"]) == ("local", True, None)
    assert player.get("/v1/models/Qwen/Qwen2-0.5B") == qwen
    assert player.get("/v1/models/tiny") == tiny
    missing = player.client.get("/v1/models/Qwen/other")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_listed")


def test_a_worker_of_an_earlier_version_is_listed_with_its_names_only(player: Player) -> None:
    player.hello(worker_id="old", models=["tiny-qwen2"])

    (model,) = player.get("/v1/models")["data"]

    assert (model["id"], model["checked"], model["parameters"]) == ("tiny-qwen2", False, None)
    assert plan_of(player, model="tiny-qwen2", training={"max_length": 1_000_000})["valid"]


def test_a_new_report_replaces_the_earlier_one_but_keeps_when_a_model_was_first_seen(
    player: Player, database: Database
) -> None:
    announce(player, QWEN, ModelFacts(name="gone"))
    created = player.get("/v1/models/Qwen/Qwen2-0.5B")["created"]

    announce(player, QWEN.model_copy(update={"license": "mit"}), ModelFacts(name="new"))

    models = {model["id"]: model for model in player.get("/v1/models")["data"]}
    assert set(models) == {"Qwen/Qwen2-0.5B", "new"}
    assert models["Qwen/Qwen2-0.5B"]["license"] == "mit"
    assert models["Qwen/Qwen2-0.5B"]["created"] == created


def test_a_report_needs_an_earlier_hello(player: Player) -> None:
    response = player.post_models("stranger", QWEN)

    assert (response.status_code, response.json()["error"]["code"]) == (404, "worker_not_found")
    assert player.get("/v1/models")["data"] == []


def test_the_list_says_whether_other_ids_are_accepted(player: Player, database: Database) -> None:
    assert player.get("/v1/models")["accepts_other_ids"] is True, "no worker is live"
    announce(player, QWEN)
    assert player.get("/v1/models")["accepts_other_ids"] is False
    assert player.get("/v1/models", queue="other")["data"] == []
    assert player.get("/v1/models", queue="other")["accepts_other_ids"] is True
    announce(player, hub=True, worker="w2")
    assert player.get("/v1/models")["accepts_other_ids"] is True

    with database.writing() as session:
        past = database_now(session) - timedelta(seconds=LIVE_SECONDS + 1)
        session.execute(update(Worker).values(last_seen_at=past))
    (model,) = player.get("/v1/models")["data"]
    assert (model["available"], model["workers"][0]["live"]) == (False, False)


def test_the_pages_of_the_model_list_contain_each_reported_model_once(player: Player) -> None:
    announce(player, *(ModelFacts(name=name) for name in ("b", "Zoo/a", "a-1")))
    announce(player, *(ModelFacts(name=name) for name in ("b", "c", "zoo")), hub=True, worker="w2")
    player.hello(worker_id="old", models=["a", "d", "no job can name this"])
    expected = ["Zoo/a", "a", "a-1", "b", "c", "d", "zoo"]

    for limit in (1, 2, 3, 7):
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = player.get("/v1/models", limit=limit, **cursor)
            assert (page["object"], page["accepts_other_ids"]) == ("list", True)
            found += [model["id"] for model in page["data"]]
            cursor = {"cursor": page["cursor"]}
            if not page["has_more"]:
                break
            assert len(page["data"]) == limit
        assert found == expected
        assert player.get("/v1/models", **cursor)["data"] == []
    assert [model["id"] for model in player.get("/v1/models")["data"]] == expected
    assert len(player.get("/v1/models/b")["workers"]) == 2
    for wrong in ("not a cursor", "AAA", "é"):
        refused = player.client.get("/v1/models", params={"cursor": wrong})
        assert refused.json()["error"]["code"] == "bad_cursor"


def test_a_worker_that_is_silent_for_a_week_is_forgotten_with_its_models(
    player: Player, database: Database, settings: Settings, bell: Bellringer
) -> None:
    for number, (worker, days) in enumerate({"back": 8, "away": 6, "gone": 8, "busy": 8}.items()):
        announce(player, ModelFacts(name=f"{worker}-{number}"), worker=worker)
        if worker == "busy":
            player.submit(model="busy-3")
            player.claim(worker_id="busy", models=["busy-3"])
        with database.writing() as session:
            past = database_now(session) - timedelta(days=days)
            session.execute(update(Worker).where(Worker.id == worker).values(last_seen_at=past))
    announce(player, ModelFacts(name="back-0"), worker="back")

    Sweeper(database, settings, bell).sweep_once()

    listed = {model["id"]: model["available"] for model in player.get("/v1/models")["data"]}
    assert listed == {"away-1": False, "back-0": True, "busy-3": False}
    assert [worker["id"] for worker in player.get("/v1/workers")["data"]] == [
        "away",
        "back",
        "busy",
    ]


def test_the_number_of_statements_for_a_report_does_not_depend_on_the_number_of_models(
    player: Player, database: Database
) -> None:
    statements: list[str] = []

    @event.listens_for(database.writer, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    counts = []
    for models in (2, 2, 40, 40):
        statements.clear()
        player.hello(worker_id="w1", models=None)
        player.report_models("w1", *(ModelFacts(name=f"m{n}") for n in range(models)))
        counts.append(len(statements))

    assert len(player.get("/v1/models")["data"]) == 40
    assert len(set(counts[1:])) == 1, counts


def test_a_worker_with_many_models_reports_them_in_parts_that_replace_only_their_own_range(
    player: Player,
) -> None:
    def send(*names: str) -> list[str]:
        for part in split_report("w1", [ModelFacts(name=name) for name in names]):
            body = part.model_dump_json()
            player.client.post(MODELS_PATH, content=body, headers=WORKER).raise_for_status()
        return [each["id"] for each in player.get("/v1/models")["data"]]

    player.hello(worker_id="w1", models=None)
    many = sorted(f"m{n}" for n in range(MOST_MODELS + 2))

    assert send(*many) == many[:MOST_MODELS]
    assert player.get("/v1/models/" + many[-1])["checked"]
    assert send(*many[::2]) == many[::2]
    assert send() == []


def test_unexpected_content_in_a_report_does_not_hide_the_rest(player: Player) -> None:
    player.hello(worker_id="w1", models=None)
    models = [
        {"name": "later", "chat_template": "qwen9", "architecture": "Later", "more": {"a": 1}},
        {"name": "odd", "architecture": "x\0\x1b[31m", "license": "y" * 201, "max_length": 0},
        {"name": "odd", "linear_modules": ["a\0b"], "parameters": -1, "bytes": 5},
        *({"name": name} for name in ("nul\0", "esc\x1b[2J", "", "n" * 201, "../up", "a b")),
    ]

    response = player.client.post(
        MODELS_PATH, json={"worker_id": "w1", "models": models}, headers=WORKER
    )

    assert response.status_code == 204, response.text
    later, odd = player.get("/v1/models")["data"]
    assert (later["id"], later["architecture"], later["chat_template"]) == ("later", "Later", None)
    assert (odd["id"], odd["bytes"]) == ("odd", 5)
    assert {odd[key] for key in ("architecture", "license", "max_length", "linear_modules")} == {
        None
    }
    stranger = {"worker_id": "w\0", "models": []}
    refused = player.client.post(MODELS_PATH, json=stranger, headers=WORKER)
    assert refused.json()["error"]["code"] == "worker_not_found"
