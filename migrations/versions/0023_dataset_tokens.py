"""Add token counts of datasets, made with a model's own tokenizer.

Revision: 0023
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "dataset_tokens"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("dataset_id", sa.String(80), nullable=False),
        sa.Column("tokenizer", sa.String(64), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("worker_id", sa.String(200), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name="fk_dataset_tokens_dataset_id_datasets",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "tokenizer", name="pk_dataset_tokens"),
    )


def downgrade() -> None:
    op.drop_table(TABLE)
