"""Upgrades the database to the newest schema. Run it with `python -m app.migrate`.

Alembic is imported only for a migration. The server only compares revisions and starts faster without it.
"""

import os

from processes.arguments import take_no_arguments
from processes.privacy import keep_private

if __name__ == "__main__":
    take_no_arguments("app.migrate", __doc__)
    keep_private(os.environ)  # first, because the imports below are slow

import ast
import functools
import importlib.util
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, column, inspect, select, table
from sqlalchemy.exc import OperationalError

from app.config.settings import Settings
from app.db.engine import Database

if TYPE_CHECKING:
    from alembic.config import Config

_VERSION = table("alembic_version", column("version_num"))

PATIENCE_SECONDS = 60.0
"""Maximum time to wait for the database, which often starts at the same time."""
_PAUSE_SECONDS = 0.5


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrade the schema, in one transaction."""
    from alembic import command  # noqa: PLC0415  # see above

    with database.writer.begin() as connection:
        command.upgrade(alembic_config(connection), revision)


def missing_migrations(database: Database) -> str | None:
    """Return a sentence that explains why this version cannot use the database, or None if it can."""
    with database.reader.connect() as connection:
        exists = inspect(connection).has_table(_VERSION.name)
        found = set(connection.scalars(select(_VERSION))) if exists else set()
    required = _newest()
    if found == required:
        return None
    current = ", ".join(sorted(found)) or "empty"
    return (
        f"the database schema is {current}, but this version needs {', '.join(sorted(required))}; "
        "run `stepline migrate` first"
    )


@functools.cache
def _newest() -> set[str]:
    """Return the head revisions."""
    revisions: set[str] = set()
    followed: set[str | None] = set()
    for path in (_scripts() / "versions").glob("[0-9]*.py"):
        values = _constants(path)
        revisions.add(str(values["revision"]))
        followed.add(values["down_revision"])
    return revisions - followed


def _constants(path: Path) -> dict[str, Any]:
    """Return a migration's annotated constants without running it."""
    return {
        node.target.id: node.value.value
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
    }


def alembic_config(connection: Connection | None = None) -> "Config":
    """Return the configuration for running Alembic commands over a connection."""
    from alembic.config import Config  # noqa: PLC0415  # see above

    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _scripts() -> Path:
    found = importlib.util.find_spec("migrations")
    if found is None or found.origin is None:
        raise RuntimeError("the package `migrations` is not installed")
    return Path(found.origin).parent


def wait_until_reachable(database: Database, patience_seconds: float) -> None:
    """Wait until the database accepts connections. Raises the last OperationalError after `patience_seconds`."""
    give_up_at = time.monotonic() + patience_seconds
    is_reported = False
    while True:
        try:
            with database.reader.connect():
                return
        except OperationalError as error:
            if time.monotonic() >= give_up_at:
                raise
            if not is_reported:
                sys.stderr.write(f"Waiting for the database: {error.orig}\n")
                sys.stderr.flush()
                is_reported = True
        time.sleep(_PAUSE_SECONDS)


def main() -> int:
    """Migrate the database at STEPLINE_DATABASE_URL."""
    database = Database(Settings().database_url)
    try:
        wait_until_reachable(database, PATIENCE_SECONDS)
        migrate(database)
    finally:
        database.close()
    sys.stdout.write("The database schema is up to date.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
