"""Add the fields that users edit after submission (name, labels, notes, archived), and indexes for more sort orders.

Lists omit archived jobs, so every sort-order index has `archived` before the sort key. The name used for sorting is in
`job_texts`, because rows of `jobs` are too wide to rewrite. Only the rows of `job_texts` are rewritten.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | None = None
depends_on: str | None = None

NAME_LENGTH = 100


def upgrade() -> None:
    op.add_column("jobs", sa.Column("edited", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("notes", sa.Text(), nullable=True))
    name = sa.String(NAME_LENGTH).with_variant(sa.String(NAME_LENGTH, collation="C"), "postgresql")
    op.add_column("job_texts", sa.Column("name", name, nullable=True))
    for table in ("jobs", "job_labels", "job_texts"):
        op.add_column(
            table, sa.Column("archived", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
    _fill_names()

    op.create_index(
        "ix_job_texts_archived_name_number", "job_texts", ["archived", "name", "number"]
    )
    op.create_index(
        "ix_job_labels_list_order",
        "job_labels",
        ["key", "value", "archived", "created_at", "number"],
    )
    for key in ("created_at", "ended_at", "eval_loss"):
        op.create_index(f"ix_jobs_archived_{key}_number", "jobs", ["archived", key, "number"])
    op.create_index(
        "ix_jobs_status_archived_created_at_number",
        "jobs",
        ["status", "archived", "created_at", "number"],
    )
    op.drop_index("ix_job_labels_key_value_created_at_number", table_name="job_labels")
    op.drop_index("ix_jobs_created_at_number", table_name="jobs")
    op.drop_index("ix_jobs_status_created_at_number", table_name="jobs")


def _fill_names() -> None:
    """Copy the first line of each job's searchable text, which is the case-folded name or empty."""
    if op.get_bind().dialect.name == "postgresql":
        first_line = "split_part(text, chr(10), 1)"
    else:
        first_line = "substr(text, 1, instr(text, char(10)) - 1)"
    # The statement contains only constants, no external values.
    op.execute(f"UPDATE job_texts SET name = nullif(substr({first_line}, 1, {NAME_LENGTH}), '')")  # noqa: S608


def downgrade() -> None:
    op.create_index("ix_jobs_status_created_at_number", "jobs", ["status", "created_at", "number"])
    op.create_index("ix_jobs_created_at_number", "jobs", ["created_at", "number"])
    op.create_index(
        "ix_job_labels_key_value_created_at_number",
        "job_labels",
        ["key", "value", "created_at", "number"],
    )
    op.drop_index("ix_jobs_status_archived_created_at_number", table_name="jobs")
    for key in ("eval_loss", "ended_at", "created_at"):
        op.drop_index(f"ix_jobs_archived_{key}_number", table_name="jobs")
    op.drop_index("ix_job_labels_list_order", table_name="job_labels")
    op.drop_index("ix_job_texts_archived_name_number", table_name="job_texts")
    for table in ("job_texts", "job_labels", "jobs"):
        op.drop_column(table, "archived")
    op.drop_column("job_texts", "name")
    op.drop_column("jobs", "notes")
    op.drop_column("jobs", "edited")
