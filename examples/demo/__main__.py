"""The demo: base model, service, job, live losses, report. Run by ./script/demo."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from cli.part import Part
from contracts.values.text import escape_lines
from examples.demo.language import Language, choose_language, say
from examples.demo.port import find_port
from examples.demo.progress import Progress
from examples.demo.tickets import TICKETS_FILE
from stepline import Client, Job, SteplineError
from stepline.client.updates import Metrics, Rewound, StatusChanged

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
JOB_FILE = HERE / "job.json"
READY_SECONDS = 60.0


class DemoFailed(Exception):
    """The demo failed before its report; the message is shown to the user."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return the exit status."""
    options = _parser().parse_args(arguments)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # do not fail if the terminal cannot show a character
    language = choose_language(os.environ)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return run(options.data_dir.resolve(), options.port, options.once, language)
    except (DemoFailed, SteplineError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 130


def run(data_dir: Path, port: int | None, once: bool, language: Language) -> int:
    """Run the four steps; unless `once` is set, keep the service running until Ctrl-C. Return the exit status."""
    url = f"http://127.0.0.1:{_choose_port(port, language)}"
    models_dir = data_dir / "models"
    models_dir.mkdir(parents=True, exist_ok=True)
    service = _service(data_dir, models_dir, url)
    print(say(language, "service", log=_short(service.log)), flush=True)
    try:
        service.start()
        # The page can be opened while the base model is being built.
        _wait_until_ready(service, language)
        print(say(language, "ready", url=url), flush=True)
        print(say(language, "base"), flush=True)
        _make_base_model(models_dir, service, language)
        with Client(url) as client:
            succeeded = _run_job(client, service, data_dir, language)
        if not once:
            print(say(language, "address", url=url), flush=True)
            _wait_for_ctrl_c(service, language)
        return 0 if succeeded else 1
    finally:
        service.stop(lambda: False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="script/demo", description="Run one complete job on this machine."
    )
    parser.add_argument("--once", action="store_true", help="stop after the report")
    parser.add_argument("--port", type=int, help="port of the API (default: 8000 if it is free)")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=ROOT / ".demo",
        help="directory for all files (default: .demo)",
    )
    return parser


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a signal handler's signature
    raise KeyboardInterrupt


def _make_base_model(models_dir: Path, service: Part, language: Language) -> None:
    # A separate process, so that torch's memory is released before the job begins.
    program = [sys.executable, "-m", "examples.demo.base_model", str(models_dir)]
    # Make waiting threads sleep: if two spin on a busy machine with two cores, the run takes three times as long.
    environment = {"OMP_WAIT_POLICY": "passive"} | os.environ
    with subprocess.Popen(program, cwd=ROOT, env=environment) as making:
        try:
            while making.poll() is None:
                _check(service, language)
                time.sleep(0.1)
        finally:
            making.kill()
    if making.returncode:
        raise DemoFailed(say(language, "no_base", status=making.returncode))


def _choose_port(port: int | None, language: Language) -> int:
    """Return the port to use. Raises DemoFailed if the given port cannot be used."""
    chosen = find_port(port)
    if chosen is None:
        raise DemoFailed(say(language, "port_in_use", port=port))
    return chosen


def _service(data_dir: Path, models_dir: Path, url: str) -> Part:
    home = data_dir / "service"
    home.mkdir(exist_ok=True)
    log = data_dir / "up.log"
    log.unlink(missing_ok=True)  # otherwise an earlier service's log would make this one look ready
    port = url.rpartition(":")[2]
    program = [sys.executable, "-P", "-m", "cli.main", "up", "--port", port]
    program += ["--data-dir", str(home), "--models-dir", str(models_dir)]
    return Part("up", program, os.environ, log, [(signal.SIGTERM, 20)])


def _wait_until_ready(service: Part, language: Language) -> None:
    end = time.monotonic() + READY_SECONDS
    while "Stepline is ready" not in service.last_lines():
        _check(service, language)
        if time.monotonic() > end:
            raise DemoFailed(
                say(language, "not_ready", seconds=round(READY_SECONDS), log=service.log)
            )
        time.sleep(0.1)


def _check(service: Part, language: Language) -> None:
    if not service.is_running:
        raise DemoFailed(say(language, "service_ended", tail=service.last_lines()))


def _wait_for_ctrl_c(service: Part, language: Language) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            _check(service, language)
            time.sleep(0.2)


def _run_job(client: Client, service: Part, data_dir: Path, language: Language) -> bool:
    """Upload the rows, run the job and print its report. Return whether the held-out perplexity at least halved."""
    print(say(language, "submit"), flush=True)
    print(f"      $ curl -s {client.base_url}/v1/datasets -F file=@{_short(TICKETS_FILE)}")
    dataset_id = client.datasets.upload(TICKETS_FILE).id
    print(f"      {dataset_id}")
    spec = json.loads(JOB_FILE.read_text(encoding="utf-8"))
    spec["dataset"]["train"] = dataset_id
    job_file = data_dir / "job.json"
    job_file.write_text(json.dumps(spec, indent=2) + "\n")
    kind = "'Content-Type: application/json'"
    print(f"      $ curl -s {client.base_url}/v1/jobs -H {kind} -d @{_short(job_file)}")
    job = client.submit(spec)
    print(f"      {job.id}\n{say(language, 'train')}")
    print(say(language, "watch", url=f"{client.base_url}/jobs/{job.id}"), flush=True)
    try:
        _watch(job, service, language)
    except KeyboardInterrupt:
        job.cancel()  # otherwise the next demo would start with this job
        raise
    view = job.refresh()
    if view.status != "succeeded":
        error = view.error
        text = " ".join(filter(None, (error.message, error.detail, error.hint))) if error else ""
        text = escape_lines(text)
        raise DemoFailed(say(language, "failed", job=job.id, status=view.status, error=text))
    return _report(job, client.base_url, language)


def _watch(job: Job, service: Part, language: Language) -> None:
    """Show the progress until the job has ended or is paused. Raises DemoFailed if the service ends before."""
    progress = Progress(language)
    losses: dict[int, float] = {}
    with job.updates() as updates:
        for update in updates:
            match update:
                case StatusChanged(job=state):
                    progress.show(state, losses)
                case Metrics(series=series) if "loss" in series:
                    pairs = zip(series["loss"].step, series["loss"].value, strict=True)
                    losses |= {step: value for step, value in pairs if value is not None}
                case Rewound(step=last):
                    losses = {step: loss for step, loss in losses.items() if step <= last}
            _check(service, language)


def _report(job: Job, url: str, language: Language) -> bool:
    """Print the report. Return whether the held-out perplexity at least halved."""
    summary = job.summary()
    before, after = summary["base_perplexity"], summary["perplexity"]
    halved = bool(after * 2 <= before)
    other = "en" if language == "zh" else "zh"
    url = f"{url}/v1/jobs/{job.id}/summary?format=text&lang={other}"
    print(f"\n{job.report(language).rstrip()}\n")
    name = "halved" if halved else "not_halved"
    print(say(language, name, before=f"{before:.2f}", after=f"{after:.2f}"))
    print(say(language, "report", url=url), flush=True)
    return halved


def _short(path: Path) -> str:
    """Return the path relative to the current directory if it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


if __name__ == "__main__":
    sys.exit(main())
