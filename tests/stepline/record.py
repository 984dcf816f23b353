"""Records the screens in docs/cli.md: real commands in a real terminal, against the demo's model and rows. Run by ./script/screens.

It starts a service, submits the demo's job twice with different settings, and writes SVG files. Takes about ten minutes.
"""

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from cli.part import Part
from tests.programs.ports import find_free_port
from tests.programs.terminal import Terminal

ROOT = Path(__file__).parent.parent.parent
SCREENS = ROOT / "docs" / "screens"
COLUMNS = 100
SECONDS = 1800.0
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
JOB_ID = re.compile(r"job_[0-9a-z]+")


def main() -> int:
    """Record all screens."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        models = directory / "models"
        models.mkdir()
        build = [sys.executable, "-m", "examples.demo.base_model", str(models)]
        subprocess.run(build, cwd=ROOT, check=True)
        url = f"http://127.0.0.1:{find_free_port()}"
        service = _start_service(stack, directory, models, url)
        deadline = time.monotonic() + SECONDS
        while "Stepline is ready" not in service.last_lines():
            assert service.is_running, service.last_lines()
            assert time.monotonic() < deadline, service.last_lines()
            time.sleep(0.2)
        environment = directory / "environment"
        environment.mkdir()
        record_all(environment, url)
    return 0


def record_all(directory: Path, url: str) -> None:
    """Record the screens against a service that has the demo's model. `directory` is for the client's settings."""
    submit = ["submit", "examples/demo/job.json", "--data", "examples/demo/tickets.jsonl"]
    with ExitStack() as stack:
        first = _open(stack, directory, *submit, server=url)
        first.wait_for("[y/N]", SECONDS)
        first.type("y\n")
        assert first.wait(SECONDS) == 0, first.output
        save("submit", " ".join(submit), first)
        job = JOB_ID.findall(first.output)[-1]
        watched = _open(stack, directory, "watch", job, server=url)
        watched.wait_for("step 120 of", SECONDS)
        watched.press_ctrl_c()
        watched.wait(SECONDS)
        save("watch", f"watch {job}", watched)
        small = ["--set", "lora.rank=8", "--set", "lora.alpha=16", "--name", "demo: rank 8"]
        second = _open(stack, directory, *submit, *small, "--yes", "--watch", server=url)
        assert second.wait(SECONDS) == 0, second.output
        other = JOB_ID.findall(second.output)[0]
        compared = _open(stack, directory, "compare", job, other, server=url)
        assert compared.wait(SECONDS) == 0, compared.output
        save("compare", f"compare {job} {other}", compared)


def save(name: str, command: str, terminal: Terminal) -> None:
    """Write what the terminal shows as an SVG file without references to other hosts."""
    console = Console(
        record=True,
        width=COLUMNS,
        force_terminal=True,
        color_system="truecolor",
        file=io.StringIO(),
    )
    console.print(Text.assemble(("$ ", "dim"), (f"stepline {command}", "bold")))
    for line in terminal.lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code, monospace", FONTS)
    SCREENS.mkdir(exist_ok=True)
    path = SCREENS / f"{name}.svg"
    path.write_text(
        console.export_svg(title="stepline", code_format=template, unique_id=name),
        encoding="utf-8",
    )
    print(path.relative_to(ROOT), file=sys.stderr)


def _start_service(stack: ExitStack, directory: Path, models: Path, url: str) -> Part:
    up = [sys.executable, "-m", "stepline.terminal.main", "up", "--port", url.rpartition(":")[2]]
    up += ["--data-dir", str(directory / "service"), "--models-dir", str(models)]
    service = Part("up", up, os.environ, directory / "up.log", [(signal.SIGTERM, 20)])
    stack.callback(service.stop, lambda: False)
    service.start()
    return service


def _open(stack: ExitStack, directory: Path, *arguments: str, server: str = "") -> Terminal:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEPLINE_")}
    environment = kept | {
        "XDG_CONFIG_HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    if server:
        environment["STEPLINE_SERVER_URL"] = server
    command = [sys.executable, "-m", "stepline.terminal.main", *arguments]
    return stack.enter_context(Terminal(command, environment, COLUMNS))


if __name__ == "__main__":
    sys.exit(main())
