"""Failed devices: the attempt during which a worker's device failed, and how often that happened to a job.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    # A plain ALTER on both databases; a batch would copy the table on SQLite.
    zero = sa.text("0")
    op.add_column("workers", sa.Column("suspect_attempt_id", sa.String(80), nullable=True))
    op.add_column(
        "workers",
        sa.Column("suspect_check_count", sa.BigInteger(), server_default=zero, nullable=False),
    )
    op.add_column(
        "jobs", sa.Column("device_failures", sa.Integer(), server_default=zero, nullable=False)
    )


def downgrade() -> None:
    op.drop_column("jobs", "device_failures")
    op.drop_column("workers", "suspect_check_count")
    op.drop_column("workers", "suspect_attempt_id")
