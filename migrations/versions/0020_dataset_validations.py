"""Add checks of large datasets after the response: a dataset's status, and the pending and failed checks.

Revision: 0020
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "dataset_validations"


def upgrade() -> None:
    op.add_column(
        "datasets", sa.Column("status", sa.String(20), nullable=False, server_default="ready")
    )
    op.create_table(
        TABLE,
        sa.Column("dataset_id", sa.String(80), nullable=False),
        sa.Column("upload_path", sa.String(400), nullable=False),
        sa.Column("encoding", sa.String(20), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(80), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_bytes", sa.BigInteger(), nullable=False),
        sa.Column("checked_rows", sa.BigInteger(), nullable=False),
        sa.Column("refusal", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name="fk_dataset_validations_dataset_id_datasets",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_dataset_validations"),
    )
    for name in ("expires_at", "finished_at"):
        op.create_index(f"ix_{TABLE}_{name}", TABLE, [name])


def downgrade() -> None:
    op.drop_table(TABLE)
    op.execute("DELETE FROM datasets WHERE status <> 'ready'")
    op.drop_column("datasets", "status")
