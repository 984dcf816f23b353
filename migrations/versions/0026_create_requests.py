"""Requests for new jobs by clients that number their retries.

Revision: 0026
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | None = None
depends_on: str | None = None

REQUESTS = "create_requests"


def upgrade() -> None:
    op.create_table(
        REQUESTS,
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("retry", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(80), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_create_requests_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_create_requests"),
    )
    op.create_index("ix_create_requests_digest", REQUESTS, ["digest"])
    op.create_index("ix_create_requests_seen_at", REQUESTS, ["seen_at"])


def downgrade() -> None:
    op.drop_table(REQUESTS)
