"""A stand-in for W&B's library. It writes each call to a file; WANDB_FAKE selects how it fails."""

import json
import os
from pathlib import Path
from typing import Any


def _write(call: str, **content: Any) -> None:
    with Path(os.environ["WANDB_DIR"], "calls.jsonl").open("a") as file:
        file.write(json.dumps({"call": call} | content) + "\n")


class Settings:
    def __init__(self, **given: Any) -> None:
        self.given = given


class Run:
    url = None
    path = "entity/project/id"

    def log(self, values: dict[str, float], step: int) -> None:
        if os.environ.get("WANDB_FAKE") == "hang":
            while True:
                os.sched_yield()
        _write("log", step=step, **values)

    def finish(self, exit_code: int) -> None:
        _write("finish", exit_code=exit_code)


def init(settings: Settings, **given: Any) -> Run:
    print("a line that is not a message")
    match os.environ.get("WANDB_FAKE"):
        case "refuse":
            raise RuntimeError(f"the key {settings.given['api_key']} is wrong")
        case "late":
            Path(os.environ["WANDB_DIR"], "starting").touch()
            while not Path(os.environ["WANDB_DIR"], "go").exists():
                os.sched_yield()
            raise RuntimeError("no connection")
        case "crash":
            os._exit(3)
    Path(os.environ["WANDB_DIR"], "wandb", "run-1").mkdir(parents=True, exist_ok=True)
    environ = Path("/proc/self/environ").read_text()
    _write("init", key=settings.given["api_key"], environ=environ, in_os=dict(os.environ), **given)
    return Run()
