"""Support jobs with several training datasets: which datasets a job uses, and which jobs need a worker that can mix them.

Revision: 0021
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | None = None
depends_on: str | None = None

TABLE, INDEX = "job_datasets", "ix_jobs_queued_mixed"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("dataset_id", sa.String(80), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_datasets_job_id_jobs", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name="fk_job_datasets_dataset_id_datasets",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "dataset_id", name="pk_job_datasets"),
    )
    op.create_index("ix_job_datasets_dataset_id", TABLE, ["dataset_id"])
    op.add_column(
        "jobs", sa.Column("is_mixed", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_index(
        INDEX,
        "jobs",
        ["queue"],
        postgresql_where=sa.text("status = 'queued' AND is_mixed"),
        sqlite_where=sa.text("status = 'queued' AND is_mixed = 1"),
    )


def downgrade() -> None:
    op.drop_index(INDEX, table_name="jobs")
    op.drop_column("jobs", "is_mixed")
    op.drop_table(TABLE)
