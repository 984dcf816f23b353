"""Connects Alembic to the database: through a given connection, or using STEPLINE_DATABASE_URL if run from a shell."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, Index, UnaryExpression, text

from app.config.settings import Settings
from app.db import (  # noqa: F401  # adds their tables to the metadata
    job_tables,
    measurement_tables,
    openai_tables,
    plan_tables,
    webhook_tables,
)
from app.db.engine import Database
from app.db.tables import Base

LOCK_NUMBER = 7_316_453
"""Arbitrary key of the advisory lock that serializes concurrent migrations of a PostgreSQL database."""


def run(connection: Connection) -> None:
    """Run the requested migrations."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '4s'"))
        connection.execute(text("SET LOCAL statement_timeout = '10min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=_can_be_compared if connection.dialect.name == "sqlite" else None,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,  # also on SQLite, because the engine's connections emit BEGIN themselves
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _can_be_compared(
    found: Any, _name: str | None, _kind: str, _reflected: bool, other: Any
) -> bool:
    """Return False for existing indexes with a descending column, because SQLite reports the column as ascending."""
    both = [each for each in (found, other) if isinstance(each, Index)]
    descends = any(
        isinstance(column, UnaryExpression) for index in both for column in index.expressions
    )
    return len(both) < 2 or not descends


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    database = Database(Settings().database_url)
    with database.writer.begin() as own:
        run(own)
    database.close()
