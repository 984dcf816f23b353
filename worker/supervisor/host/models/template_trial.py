"""Determines what a model's chat template renders.

A separate process with limits renders it, because it is untrusted code.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from contracts.model_facts import WRITES_CONTENT_ONLY, ModelFacts, TemplateFacts
from processes.environment import BASIC, choose

TRIAL_SECONDS = 120
"""Time limit of the process, which spends most of its time on imports."""
_PROGRAM = ("-m", "worker.training.data.rendering.describe")
_FILES = ("chat_template.jinja", "tokenizer_config.json", "special_tokens_map.json")

Describe = Callable[[Path], TemplateFacts | None]
Start = Callable[[Callable[[], None]], None]


class TemplateTrials:
    """Caches results by the content of the template's files, because many models have the same template.

    The trials run one at a time in a thread, because waiting for them would delay the worker's hellos.
    """

    def __init__(self, describe: Describe | None = None, start: Start | None = None) -> None:
        self._describe = describe or describe_template
        self._start = start or _start_thread
        self._known: dict[str, TemplateFacts | None] = {}
        self._running: str | None = None

    def find(self, directory: Path, facts: ModelFacts) -> tuple[ModelFacts, bool]:
        """Return the facts, including those about the template's output, and whether they are final. Raises OSError."""
        if facts.chat_template != "own":
            known = WRITES_CONTENT_ONLY if facts.chat_template else None
            return facts.model_copy(update={"template": known}), True
        key = _digest(directory)
        if key not in self._known and self._running is None:
            self._running = key
            self._start(partial(self._run, key, directory))
        is_known = key in self._known
        return facts.model_copy(update={"template": self._known.get(key)}), is_known

    def _run(self, key: str, directory: Path) -> None:
        found = None
        try:
            found = self._describe(directory)
        finally:
            self._known[key] = found
            self._running = None


def _start_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="template-trial", daemon=True).start()


def describe_template(directory: Path) -> TemplateFacts | None:
    """Run the trials in a process without network settings or secrets; None if the process fails or takes too long."""
    environment = choose(os.environ, *BASIC) | {
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "PYTHONSAFEPATH": "1",
    }
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(
                [sys.executable, *_PROGRAM, str(directory.absolute())],
                cwd=empty,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=TRIAL_SECONDS,
            )
            return TemplateFacts.model_validate_json(done.stdout) if done.stdout else None
        except (OSError, subprocess.TimeoutExpired, ValidationError):
            return None


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    for name in _FILES:
        path = directory / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()
