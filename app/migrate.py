"""Brings the database to the newest schema. Runs as `python -m app.migrate`."""

import os

from processes.privacy import keep_private

if __name__ == "__main__":
    keep_private(os.environ)  # before the imports below, which take a second

import functools
import importlib.util
import sys
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app.db import Database
from app.settings import Settings

PATIENCE_SECONDS = 60.0
"""How long a database that does not answer yet is waited for: it is often started at the same moment."""
_PAUSE_SECONDS = 0.5


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrade the schema, in one transaction."""
    with database.writer.begin() as connection:
        command.upgrade(alembic_config(connection), revision)


def missing_migrations(database: Database) -> str | None:
    """Say in one sentence what keeps this version from using the database; None if nothing does."""
    with database.reader.connect() as connection:
        context = MigrationContext.configure(connection)
        found = set(context.get_current_heads())
    wanted = _newest()
    if found == wanted:
        return None
    there = ", ".join(sorted(found)) or "empty"
    return (
        f"the database is at schema {there}, this version needs {', '.join(sorted(wanted))}: "
        "run `stepline migrate` first"
    )


@functools.cache
def _newest() -> set[str]:
    return set(ScriptDirectory.from_config(alembic_config()).get_heads())


def alembic_config(connection: Connection | None = None) -> Config:
    """Return the configuration under which Alembic's commands run over a connection."""
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _scripts() -> Path:
    found = importlib.util.find_spec("migrations")
    if found is None or found.origin is None:
        raise RuntimeError("the package `migrations` is not installed")
    return Path(found.origin).parent


def wait_until_answering(database: Database, patience_seconds: float) -> None:
    """Return once the database takes connections. Raises its own OperationalError after so long."""
    give_up_at = time.monotonic() + patience_seconds
    told = False
    while True:
        try:
            with database.reader.connect():
                return
        except OperationalError as error:
            if time.monotonic() >= give_up_at:
                raise
            if not told:
                sys.stderr.write(f"Waiting for the database: {error.orig}\n")
                sys.stderr.flush()
                told = True
        time.sleep(_PAUSE_SECONDS)


def main() -> int:
    """Migrate the database of STEPLINE_DATABASE_URL."""
    database = Database(Settings().database_url)
    try:
        wait_until_answering(database, PATIENCE_SECONDS)
        migrate(database)
    finally:
        database.close()
    sys.stdout.write("The database has the newest schema.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
