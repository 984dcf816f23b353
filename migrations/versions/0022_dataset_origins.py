"""Support imports from the hub: the origin of each dataset, and an index to find identical stored files.

Revision: 0022
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("source", sa.JSON(none_as_null=True), nullable=True))
    op.create_index("ix_datasets_sha256", "datasets", ["sha256"])


def downgrade() -> None:
    op.execute("DELETE FROM errands WHERE kind = 'import' OR status = 'cancelled'")
    op.drop_index("ix_datasets_sha256", "datasets")
    op.drop_column("datasets", "source")
