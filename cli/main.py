"""The commands of `stepline` that run a service. They only start the parts, each in a separate process."""

import argparse
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from typing import NoReturn

from cli.data_dir import default_data_dir
from cli.up import up

MODULES = {
    "serve": ("app.main", "server", "fastapi"),
    "migrate": ("app.migrate", "server", "alembic"),
    "worker": ("worker.fleet", "worker", "huggingface_hub"),
    "doctor": ("worker.supervisor.doctor", "worker", "huggingface_hub"),
}
"""For each command: its module, the extra it needs, and a package used to check that the extra is installed."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    if options.command != "up":
        _become(options.command)
    return up(
        options.data_dir,
        options.host,
        options.port,
        options.models_dir,
        allow_remote=options.allow_remote,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stepline", description="A REST service that runs QLoRA training jobs."
    )
    version = importlib.metadata.version("stepline")
    parser.add_argument("--version", action="version", version=f"stepline {version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    start = commands.add_parser(
        "up",
        help="start the API, a worker and the broker, with a SQLite database; Ctrl-C stops them",
    )
    start.add_argument("--port", type=int, default=8000, help="port of the API (default: 8000)")
    start.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: 127.0.0.1); addresses that other machines can reach need --allow-remote",
    )
    start.add_argument(
        "--allow-remote",
        action="store_true",
        help="accept connections from other machines, without authentication: anyone who can reach the port has full "
        "access",
    )
    start.add_argument(
        "--data-dir",
        type=Path,
        default=default_data_dir(os.environ),
        help="data directory (default: %(default)s)",
    )
    start.add_argument(
        "--models-dir",
        type=Path,
        help="directory that contains the models (default: STEPLINE_MODELS_DIR, else DATA_DIR/models)",
    )
    commands.add_parser("serve", help="run the API; STEPLINE_… variables configure it")
    commands.add_parser("worker", help="run one worker per GPU, or a single worker on the CPU")
    commands.add_parser("migrate", help="upgrade the database to the newest schema")
    commands.add_parser(
        "doctor", help="check whether this machine can run a worker, and list any problems"
    )
    return parser


def _become(command: str) -> NoReturn:
    """Replace this process with one that runs the command's module."""
    module, extra, package = MODULES[command]
    if importlib.util.find_spec(package) is None:
        sys.exit(
            f"stepline {command}: required packages are missing: pip install 'stepline[{extra}]'"
        )
    os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606  # runs without a shell


if __name__ == "__main__":
    sys.exit(main())
