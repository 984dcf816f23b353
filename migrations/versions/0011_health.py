"""Add the health of running jobs: a job's findings, and the trace that the rules use.

Jobs that are running during the upgrade are judged from their next step onwards.

Revision: 0011
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("health", sa.JSON(), nullable=True))
    op.add_column(
        "attempts",
        sa.Column("judged_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("attempts", sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "job_traces",
        sa.Column("job_id", sa.String(length=80), nullable=False),
        sa.Column("trace", sa.LargeBinary(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("stepped_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_traces_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_traces"),
    )
    # The earlier records of attempts that are running now will never be in a trace.
    op.execute("UPDATE attempts SET judged_seq = acked_seq")


def downgrade() -> None:
    op.drop_table("job_traces")
    op.drop_column("attempts", "judged_at")
    op.drop_column("attempts", "judged_seq")
    op.drop_column("jobs", "health")
