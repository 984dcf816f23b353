"""Add the models in each worker's models root, with facts that the worker read from their files.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "worker_models"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("worker_id", sa.String(200), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["workers.id"], "fk_worker_models_worker_id_workers", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("worker_id", "name", name="pk_worker_models"),
    )


def downgrade() -> None:
    op.drop_table(TABLE)
