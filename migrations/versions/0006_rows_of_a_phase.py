"""Add row progress of running jobs, reported while they tokenize or evaluate.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    # A plain ALTER on both databases; Alembic's batch mode would copy the table on SQLite.
    op.add_column("jobs", sa.Column("rows_done", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("rows_total", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("rows_seconds", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("rows_seconds_left", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "rows_seconds_left")
    op.drop_column("jobs", "rows_seconds")
    op.drop_column("jobs", "rows_total")
    op.drop_column("jobs", "rows_done")
