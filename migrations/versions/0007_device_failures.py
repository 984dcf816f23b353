"""Record the attempts during which a worker's device failed.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "device_failures"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("attempt_id", sa.String(80), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("worker_id", sa.String(200), nullable=False),
        sa.Column("worker_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("device", sa.String(200), nullable=False),
        sa.Column("check_count", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint_step", sa.BigInteger(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("passed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("blames_job", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("blames_device", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["attempts.id"],
            "fk_device_failures_attempt_id_attempts",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], "fk_device_failures_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("attempt_id", name="pk_device_failures"),
    )
    for column in ("job_id", "worker_id"):
        op.create_index(f"ix_{TABLE}_{column}", TABLE, [column])


def downgrade() -> None:
    op.drop_table(TABLE)
