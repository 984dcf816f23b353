"""The sizes of result files and the order of files by time, for one list of files; and the models and integrations that requests named.

Revision: 0027
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | None = None
depends_on: str | None = None

RESULTS, FILES, FINE_TUNES = "result_files", "files", "fine_tunes"


def upgrade() -> None:
    op.create_table(
        RESULTS,
        sa.Column("job_id", sa.String(80), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_result_files_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name="pk_result_files"),
    )
    op.create_index("ix_files_created_at_number", FILES, ["created_at", "number"])
    op.add_column(FINE_TUNES, sa.Column("model", sa.String(200), nullable=True))
    op.add_column(FINE_TUNES, sa.Column("wandb", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column(FINE_TUNES, "wandb")
    op.drop_column(FINE_TUNES, "model")
    op.drop_index("ix_files_created_at_number", table_name=FILES)
    op.drop_table(RESULTS)
