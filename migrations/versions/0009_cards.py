"""Record each attempt's GPUs, and how long a job for all GPUs is reserved for larger hosts.

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("cards", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("larger_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "larger_until")
    op.drop_column("attempts", "cards")
