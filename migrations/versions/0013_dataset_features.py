"""Record the chat template features that a dataset's rows need, and the format and columns chosen at upload.

Revision: 0013
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    for name in ("features", "columns"):
        op.add_column("datasets", sa.Column(name, sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    for name in ("columns", "features"):
        op.drop_column("datasets", name)
