"""The checkpoint that each attempt resumed from, so that the job's line follows the attempts as they actually ran.

Existing attempts do not record it; each is assumed to resume from the newest attempt that trained before its first step.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    # A plain ALTER on both databases; a batch would copy the table on SQLite.
    op.add_column("attempts", sa.Column("resumed_from", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("resumed_step", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "resumed_step")
    op.drop_column("attempts", "resumed_from")
