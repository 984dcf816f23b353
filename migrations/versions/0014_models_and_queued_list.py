"""Add indexes for lists of models and queued jobs, and clear the eval loss of jobs that evaluated only the base model.

Pages of models use Python's string order, so the name column has the C collation on PostgreSQL.

Revision: 0014
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | None = None
depends_on: str | None = None

INDEX = "ix_jobs_queued_list_order"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("worker_models", "name", type_=sa.String(200, collation="C"))
    op.create_index("ix_worker_models_name", "worker_models", ["name"])
    queued = sa.text("status = 'queued'")
    op.create_index(
        INDEX,
        "jobs",
        ["status", "archived", sa.text("priority DESC"), "number"],
        postgresql_where=queued,
        sqlite_where=queued,
    )
    _clear_base_losses()


def _clear_base_losses() -> None:
    """Clear the eval loss of jobs without an event for an evaluation of the trained model."""
    jobs = sa.table("jobs", *map(sa.column, ("id", "status", "eval_loss")))
    events = sa.table("events", sa.column("job_id"), sa.column("code"), sa.column("data", sa.JSON))
    trained = sa.select(events.c.job_id).where(
        events.c.job_id == jobs.c.id,
        events.c.code == "evaluated",
        events.c.data["step"].as_float() > 0,
    )
    op.execute(
        sa.update(jobs)
        .where(jobs.c.eval_loss.is_not(None), jobs.c.status != "succeeded", ~trained.exists())
        .values(eval_loss=None)
    )


def downgrade() -> None:
    op.drop_index(INDEX, table_name="jobs")
    op.drop_index("ix_worker_models_name", table_name="worker_models")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            'ALTER TABLE worker_models ALTER COLUMN name TYPE VARCHAR(200) COLLATE "default"'
        )
