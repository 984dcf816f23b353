import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import inspect

from app.db import Database
from app.migrate import alembic_config, migrate, missing_migrations
from app.models import Base
from tests.postgres import Postgres


def test_models_and_migrations_agree_after_each_way_up(empty_url: str) -> None:
    database = Database(empty_url)

    for _ in range(2):
        migrate(database)
        with database.writer.begin() as connection:
            command.check(alembic_config(connection))
            tables = set(inspect(connection).get_table_names())
        assert tables == {*Base.metadata.tables, "alembic_version"}
        with database.writer.begin() as connection:
            command.downgrade(alembic_config(connection), "base")
            assert inspect(connection).get_table_names() == ["alembic_version"]
    database.close()


def test_the_check_notices_a_missing_column(empty_url: str) -> None:
    database = Database(empty_url)
    migrate(database)
    with database.writer.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs DROP COLUMN eval_loss")

    with database.writer.begin() as connection, pytest.raises(CommandError, match="New upgrade"):
        command.check(alembic_config(connection))
    database.close()


def test_migrating_runs_from_anywhere_and_again(empty_url: str, tmp_path: Path) -> None:
    environment = os.environ | {"STEPLINE_DATABASE_URL": empty_url}

    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "app.migrate"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    database = Database(empty_url)
    assert missing_migrations(database) is None
    database.close()


def test_migrating_waits_for_a_database_that_is_still_starting(
    postgres: Postgres, tmp_path: Path
) -> None:
    place = tmp_path / "socket"
    name = postgres.create_database()
    url = f"postgresql+psycopg://postgres@/{name}?host={place}"
    migrating = subprocess.Popen(
        [sys.executable, "-m", "app.migrate"],
        env=os.environ | {"STEPLINE_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert migrating.stderr is not None
        assert migrating.stderr.readline().startswith("Waiting for the database:")

        place.symlink_to(postgres.directory)

        _, complaints = migrating.communicate(timeout=60)
        assert migrating.returncode == 0, complaints
    finally:
        migrating.kill()
        migrating.wait()
        postgres.drop_database(name)


def test_a_server_refuses_a_database_that_is_not_migrated(empty_url: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "STEPLINE_DATABASE_URL": empty_url,
        "STEPLINE_DATA_DIR": str(tmp_path / "files"),
    }

    done = subprocess.run(
        [sys.executable, "-m", "app.main"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 2
    assert "run `stepline migrate` first" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_migration_is_part_of_the_installed_package() -> None:
    found = importlib.util.find_spec("migrations.versions")

    assert found is not None
    assert found.origin is not None, "without __init__.py a wheel leaves the directory out"
