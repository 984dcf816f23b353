"""Index the device failures that each hello and claim of a GPU worker reads: unchecked ones, and those that count.

Revision: 0015
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "device_failures"
BLAMED = "ix_device_failures_blamed_worker_id"
UNCHECKED = "ix_device_failures_unchecked_worker_id"


def upgrade() -> None:
    op.create_index(
        BLAMED,
        TABLE,
        ["worker_id"],
        sqlite_where=sa.text("blames_device = 1"),
        postgresql_where=sa.text("blames_device"),
    )
    is_unchecked = sa.text("passed_at IS NULL")
    op.create_index(
        UNCHECKED,
        TABLE,
        ["worker_id"],
        sqlite_where=is_unchecked,
        postgresql_where=is_unchecked,
    )


def downgrade() -> None:
    op.drop_index(UNCHECKED, table_name=TABLE)
    op.drop_index(BLAMED, table_name=TABLE)
