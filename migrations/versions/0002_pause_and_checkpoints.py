"""Add pauses, repeated claims, and checkpoints in the server's storage.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    # Plain ADD COLUMN statements, which do not copy the table on either database.
    op.add_column("jobs", sa.Column("pause_requested_at", sa.DateTime(timezone=True)))
    for table in ("attempts", "workers"):
        op.add_column(table, sa.Column("slot_id", sa.String(length=100)))
        op.add_column(table, sa.Column("slot_turn", sa.BigInteger()))
    op.add_column(
        "attempts",
        sa.Column("acked_note", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("job_id", sa.String(length=80), nullable=False),
        sa.Column("attempt_id", sa.String(length=80), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("eval_loss", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("files", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("origin", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_checkpoints_job_id_jobs", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["attempts.id"],
            name="fk_checkpoints_attempt_id_attempts",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoints"),
        sa.UniqueConstraint("attempt_id", "step", name="uq_checkpoints_attempt_id_step"),
    )
    op.create_index("ix_checkpoints_job_id", "checkpoints", ["job_id"])
    op.create_table(
        "checkpoint_blobs",
        sa.Column("job_id", sa.String(length=80), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.String(length=400), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_checkpoint_blobs_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "sha256", name="pk_checkpoint_blobs"),
    )


def downgrade() -> None:
    op.drop_table("checkpoint_blobs")
    op.drop_table("checkpoints")
    op.drop_column("attempts", "acked_note")
    for table in ("attempts", "workers"):
        op.drop_column(table, "slot_turn")
        op.drop_column(table, "slot_id")
    op.drop_column("jobs", "pause_requested_at")
