"""Add plans: the forecast for each job, the results of finished jobs, and the minimum memory that a device needs.

Revision: 0019
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | None = None
depends_on: str | None = None

PLANS, RESULTS = "job_plans", "forecast_results"


def upgrade() -> None:
    op.create_table(
        PLANS,
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("forecast", sa.JSON(), nullable=False),
        sa.Column("sample", sa.JSON(), nullable=True),
        sa.Column("actual", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_plans_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_plans"),
    )
    op.create_table(
        RESULTS,
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("device", sa.String(300), nullable=False),
        sa.Column("settings", sa.String(64), nullable=False),
        sa.Column("dataset_id", sa.String(80), nullable=True),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_forecast_results"),
    )
    op.create_index(
        "ix_forecast_results_model_device_number", RESULTS, ["model", "device", "number"]
    )
    op.create_index(
        "ix_forecast_results_dataset_id_model_number", RESULTS, ["dataset_id", "model", "number"]
    )
    op.add_column("jobs", sa.Column("least_cpu_bytes", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("least_gpu_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "least_gpu_bytes")
    op.drop_column("jobs", "least_cpu_bytes")
    op.drop_table(RESULTS)
    op.drop_table(PLANS)
