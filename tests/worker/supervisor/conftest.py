"""A local hub for the tests of downloads."""

from collections.abc import Iterator

import pytest

from tests.hub_server import Hub
from tests.worker.supervisor.hub_files import DATASET_FILES, MODEL_FILES


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(MODEL_FILES, DATASET_FILES) as running:
        yield running
