"""Support jobs on several GPUs: how many a job needs, which host is reserved for it, and how many an attempt uses.

Existing jobs and attempts use one GPU.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None

QUEUED = sa.text("status = 'queued'")
RESERVED = sa.text("reserved_host IS NOT NULL")


def upgrade() -> None:
    for table, column in (("jobs", "gpus"), ("jobs", "most_gpus"), ("attempts", "gpus")):
        op.add_column(
            table, sa.Column(column, sa.Integer(), server_default=sa.text("1"), nullable=False)
        )
    op.add_column("jobs", sa.Column("reserved_host", sa.String(100), nullable=True))
    op.add_column("jobs", sa.Column("reserved_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "jobs",
        sa.Column("reserved_seconds", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.drop_index("ix_jobs_model_order", table_name="jobs")
    _create_queued_index("ix_jobs_model_order", "status", "queue", "gpus", "model")
    _create_queued_index("ix_jobs_gpus_order", "status", "queue", "gpus")
    op.create_index(
        "ix_jobs_reserved_host",
        "jobs",
        ["reserved_host"],
        postgresql_where=RESERVED,
        sqlite_where=RESERVED,
    )


def _create_queued_index(name: str, *columns: str) -> None:
    op.create_index(
        name,
        "jobs",
        [*columns, sa.text("priority DESC"), "number"],
        postgresql_where=QUEUED,
        sqlite_where=QUEUED,
    )


def downgrade() -> None:
    for name in ("ix_jobs_reserved_host", "ix_jobs_gpus_order", "ix_jobs_model_order"):
        op.drop_index(name, table_name="jobs")
    _create_queued_index("ix_jobs_model_order", "status", "queue", "model")
    for table, column in (
        ("jobs", "reserved_seconds"),
        ("jobs", "reserved_until"),
        ("jobs", "reserved_host"),
        ("jobs", "most_gpus"),
        ("jobs", "gpus"),
        ("attempts", "gpus"),
    ):
        op.drop_column(table, column)
