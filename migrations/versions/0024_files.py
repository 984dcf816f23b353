"""Add files of OpenAI's API, and the files with which fine-tuning jobs were created.

Revision: 0024
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: str | None = None
depends_on: str | None = None

FILES, FINE_TUNES = "files", "fine_tunes"


def upgrade() -> None:
    op.create_table(
        FILES,
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("dataset_id", sa.String(80), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("owns_dataset", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name="fk_files_dataset_id_datasets",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name="pk_files"),
        sa.UniqueConstraint("id", name="uq_files_id"),
    )
    op.create_index("ix_files_dataset_id", FILES, ["dataset_id"])
    op.create_index("ix_files_expires_at", FILES, ["expires_at"])
    op.create_table(
        FINE_TUNES,
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("training_file", sa.String(80), nullable=False),
        sa.Column("validation_file", sa.String(80), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_fine_tunes_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_fine_tunes"),
    )
    op.add_column("uploads", sa.Column("file_id", sa.String(80), nullable=True))


def downgrade() -> None:
    op.drop_column("uploads", "file_id")
    op.drop_table(FINE_TUNES)
    op.drop_table(FILES)
