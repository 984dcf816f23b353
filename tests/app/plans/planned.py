"""A model, a worker and summaries for the tests of plans."""

from typing import Any

from contracts.attempt import Device
from contracts.model_facts import ModelFacts, ModelSizes
from tests.app.player import Player

GIB = 2**30
SIZES_05B = ModelSizes(
    hidden=896,
    intermediate=4864,
    attention=1152,
    layers=24,
    vocabulary=151_936,
    linear_parameters=357_826_560,
    largest_linear=896 * 4864,
    adapter_sides={
        **{f"{name}_proj": 24 * (896 + 4864) for name in ("down", "gate", "up")},
        **{f"{name}_proj": 24 * 1792 for name in "qo"},
        **{f"{name}_proj": 24 * 1024 for name in "kv"},
    },
)
QWEN = ModelFacts(
    name="Qwen/Qwen2-0.5B-Instruct",
    parameters=494_032_768,
    bytes=988_097_824,
    max_length=32_768,
    sizes=SIZES_05B,
    chat_template="qwen2",
)
CPU = Device(kind="cpu", name="a CPU", memory_bytes=16 * GIB)


def start_worker(
    player: Player, device: Device = CPU, worker: str = "worker-1", facts: ModelFacts = QWEN
) -> dict[str, Any]:
    """Announce a worker with a model; return the description that it sends with a claim."""
    info = {
        "worker_id": worker,
        "device": device.model_dump(),
        "models": [facts.name],
        "host": f"host of {worker}",
    }
    player.hello(**info)
    player.report_models(worker, facts)
    return info


def body_of(dataset: str, **changes: Any) -> dict[str, Any]:
    """Return the body of a job with the model."""
    return {"model": QWEN.name, "dataset": {"train": dataset}} | changes


def forecast_of(player: Player, dataset: str, **changes: Any) -> Any:
    """Return the forecast of a dry run."""
    response = player.client.post("/v1/jobs?dry_run=true", json=body_of(dataset, **changes))
    assert response.status_code == 200, response.text
    return response.json()["forecast"]


def summary_of(peak_bytes: int, **changes: Any) -> dict[str, Any]:
    """Return values of a summary: 160 and 3 rows of 50 tokens in 10 steps, 61 seconds of training."""
    choices = {"compute_dtype": "float32", "token_budget": 512, "activation_checkpointing": False}
    return {
        "peak_memory_bytes": peak_bytes,
        "tokens_per_second": 100.0,
        "samples_per_second": 2.0,
        "supervised_tokens": 4000,
        "eval_rows": 3,
        "phases": {
            "loading": 20.0,
            "tokenizing": 2.0,
            "training": 61.0,
            "evaluating": 9.0,
            "saving": 1.0,
        },
        "choices": {name: {"value": value, "reason": ""} for name, value in choices.items()},
    } | changes
