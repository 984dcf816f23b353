"""Each test sends a request, message or file as an attacker would and checks how the service reacts.

Each file covers one entry point: hosts, origins, connections, streams, the broker, model files or datasets. To add an attack,
add a test to the file of its entry point. Assert both the response and that other users are not affected.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs.server_process import Server, running


@pytest.fixture
def server(tmp_path: Path, sqlite_url: str) -> Iterator[Server]:
    """Yield a server process with default settings; a test that needs other settings starts its own with running()."""
    with running(tmp_path, sqlite_url) as server:
        yield server
