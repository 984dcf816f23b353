"""The lifetime of the file that an upload in parts becomes.

Revision: 0028
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("uploads", sa.Column("file_seconds", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("uploads", "file_seconds")
