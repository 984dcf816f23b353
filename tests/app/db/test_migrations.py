import importlib.util
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import JSON, column, insert, inspect, select, table, text

from app.db.engine import Database
from app.db.tables import Base, Job, UtcTime
from app.jobs.listing.lists import find_jobs
from app.jobs.schemas import JobFilter
from app.migrate import _newest, alembic_config, migrate, missing_migrations
from tests.programs.postgres import Postgres

ZEROS = ("priority", "attempt_number", "losses", "step", "checkpoint_step", "lost_checkpoint_step")


def test_the_migrated_schema_matches_the_models_even_after_a_downgrade(empty_url: str) -> None:
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


def test_the_newest_revision_matches_the_head_that_alembic_finds() -> None:
    assert _newest() == set(ScriptDirectory.from_config(alembic_config()).get_heads())


def test_a_database_with_an_outdated_schema_is_reported(empty_url: str) -> None:
    database = Database(empty_url)
    assert "the database schema is empty" in str(missing_migrations(database))
    migrate(database, "0004")

    assert "the database schema is 0004" in str(missing_migrations(database))
    database.close()


def test_the_schema_check_detects_a_missing_column(empty_url: str) -> None:
    database = Database(empty_url)
    migrate(database)
    with database.writer.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs DROP COLUMN last_loss")

    with database.writer.begin() as connection, pytest.raises(CommandError, match="New upgrade"):
        command.check(alembic_config(connection))
    database.close()


def test_migrations_run_from_any_directory_and_can_be_repeated(
    empty_url: str, tmp_path: Path
) -> None:
    environment = os.environ | {"STEPLINE_DATABASE_URL": empty_url}

    for _ in range(2):
        result = subprocess.run(
            [sys.executable, "-m", "app.migrate"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr

    database = Database(empty_url)
    assert missing_migrations(database) is None
    database.close()


def test_migrations_wait_for_a_database_that_is_still_starting(
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

        _, stderr = migrating.communicate(timeout=60)
        assert migrating.returncode == 0, stderr
    finally:
        migrating.kill()
        migrating.wait()
        postgres.drop_database(name)


def test_the_server_does_not_start_on_an_unmigrated_database(
    empty_url: str, tmp_path: Path
) -> None:
    environment = os.environ | {
        "STEPLINE_DATABASE_URL": empty_url,
        "STEPLINE_DATA_DIR": str(tmp_path / "files"),
    }

    result = subprocess.run(
        [sys.executable, "-m", "app.main"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert result.returncode == 2
    assert "run `stepline migrate` first" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_installed_package_includes_the_migrations() -> None:
    found = importlib.util.find_spec("migrations.versions")

    assert found is not None
    assert found.origin is not None, "a wheel omits the directory if it has no __init__.py"


def test_jobs_from_an_earlier_version_can_be_searched_after_migration(empty_url: str) -> None:
    check_search_after_migration(empty_url)


def test_jobs_from_an_earlier_version_can_be_searched_in_a_database_without_an_encoding(
    url_without_encoding: str,
) -> None:
    check_search_after_migration(url_without_encoding)


def check_search_after_migration(url: str) -> None:
    """Migrate jobs with names in several scripts and search for them."""
    database = Database(url)
    migrate(database, "0004")
    names = {1: "Sweep A", 2: "GRÖSSE", 3: "微调", 4: None, 5: "İstanbul", 6: "100%"}
    with database.writer.begin() as connection:
        for number, name in names.items():
            values = {
                "number": number,
                "id": f"job_{number:024x}",
                "status": "succeeded" if number > 3 else "failed",
                "eval_loss": 2.5,
                "version": 1,
                "spec": {"name": name},
                "model": "Qwen/Small",
                "queue": "default",
                "created_at": datetime(2026, 1, number, tzinfo=UTC),
            }
            types: dict[str, Any] = {"spec": JSON(), "created_at": UtcTime()}
            columns = [column(name, types.get(name)) for name in (*values, *ZEROS)]
            row = values | dict.fromkeys(ZEROS, 0)
            connection.execute(insert(table("jobs", *columns)).values(row))
        label = "INSERT INTO job_labels (job_id, key, value) VALUES (:job, 'team', 'a')"
        connection.execute(text(label), [{"job": f"job_{n:024x}"} for n in (1, 3)])
        event = "INSERT INTO events (job_id, at, code, level, data) VALUES (:job, :at, 'evaluated', 'info', :data)"
        evaluated = [(1, 0), (2, 0), (2, 5_000_000_000)]
        connection.execute(
            text(event),
            [
                {
                    "job": f"job_{n:024x}",
                    "at": "2026-01-01 00:00:00",
                    "data": f'{{"step": {step}, "loss": 2.5}}',
                }
                for n, step in evaluated
            ],
        )

    migrate(database)

    def found(**chosen: Any) -> list[int]:
        empty: dict[str, Any] = {"search": "", "statuses": [], "labels": []}
        times = {"created_after": None, "created_before": None}
        with database.reading() as session:
            places = find_jobs(session, JobFilter(**empty | times | chosen), None, 10).places
        return [place.number for place in places]

    assert found() == [6, 5, 4, 3, 2, 1]
    assert found(labels=[("team", "a")]) == [3, 1]
    assert found(search="sweep") == [1]
    assert found(search="größe") == [2]
    assert found(search="微调") == [3]
    assert found(search="qwen/small") == [6, 5, 4, 3, 2, 1]
    assert found(search="İSTANBUL") == [5]
    assert found(search="0%") == [6]
    assert found(search=f"job_{4:024x}") == [4]
    with database.reading() as session:
        losses = dict(session.execute(select(Job.number, Job.eval_loss)).all())
    assert [n for n, loss in losses.items() if loss is None] == [1, 3], (
        "only their base model was evaluated"
    )
    database.close()
