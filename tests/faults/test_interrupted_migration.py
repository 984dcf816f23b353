"""A killed migration leaves the old schema or the new one, and the next run completes it."""

import os
import subprocess
import sys

import pytest
from sqlalchemy import inspect

from app.db.engine import Database
from app.migrate import missing_migrations
from tests.programs.postgres import Postgres

KILLED_AT = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
import app.migrate as migrate
left = [int(sys.argv.pop(1))]

@event.listens_for(Engine, "before_cursor_execute")
def count(connection, cursor, statement, parameters, context, many):
    if statement.lstrip().upper().startswith(("CREATE", "ALTER", "INSERT")):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.exit(migrate.main())
"""


@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"])
def test_a_migration_killed_at_any_statement_is_completed_by_the_next_run(
    kind: str, tmp_path: object, request: pytest.FixtureRequest
) -> None:
    name = None
    if kind == "postgresql":
        postgres: Postgres = request.getfixturevalue("crashing_postgres")
        name = postgres.create_database()
        url = postgres.url(name)
    else:
        url = f"sqlite:///{tmp_path}/stepline.db"
    environment = os.environ | {"STEPLINE_DATABASE_URL": url}

    for statement in (1, 3, 9, 17):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_AT, str(statement)], env=environment, check=False
        )
        assert killed.returncode == -9
        database = Database(url)
        with database.reader.connect() as connection:
            assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
        database.close()

    done = subprocess.run([sys.executable, "-m", "app.migrate"], env=environment, check=False)

    assert done.returncode == 0
    database = Database(url)
    assert missing_migrations(database) is None
    database.close()
    if name is not None:
        postgres.drop_database(name)
