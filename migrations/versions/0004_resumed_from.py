"""Record the checkpoint that each attempt resumed from, to reconstruct a job's history as it actually ran.

It is unknown for existing attempts. Each is assumed to have resumed from the newest earlier attempt that began at a
lower step.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    # A plain ALTER on both databases; Alembic's batch mode would copy the table on SQLite.
    op.add_column("attempts", sa.Column("resumed_from", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("resumed_step", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "resumed_step")
    op.drop_column("attempts", "resumed_from")
