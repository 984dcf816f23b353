"""Prints the OpenAPI document without a server or database: `python -m app.openapi`. The page's types come from it."""

import json
import sys
import tempfile
from pathlib import Path

from app.config.settings import Settings
from app.main import create_app
from processes.arguments import take_no_arguments


def main() -> int:
    """Write the document to standard output."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(
            database_url=f"sqlite:///{directory}/unused.db", data_dir=Path(directory)
        )
        json.dump(create_app(settings).openapi(), sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    take_no_arguments("app.openapi", __doc__)
    sys.exit(main())
