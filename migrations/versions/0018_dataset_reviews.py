"""Add reviews of datasets: warnings and statistics about their rows.

Revision: 0018
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "dataset_reviews"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("dataset_id", sa.String(80), nullable=False),
        sa.Column("rules", sa.Integer(), nullable=False),
        sa.Column("review", sa.JSON(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name="fk_dataset_reviews_dataset_id_datasets",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_dataset_reviews"),
    )


def downgrade() -> None:
    op.drop_table(TABLE)
