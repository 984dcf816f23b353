"""Add indexes in list order and claim order, and a table of searchable text.

Labels get a copy of their job's sort key, which lets a label filter walk an index in list order. Searchable text is in
a narrow table, because rows of `jobs` are too wide to scan. Only the rows of `job_labels` are rewritten.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

QUEUED = sa.text("status = 'queued'")
RUNNING = sa.text("status = 'running'")
BATCH = 10_000

JOBS = sa.table(
    "jobs", *[sa.column(name) for name in ("number", "id", "model")], sa.column("spec", sa.JSON())
)
TEXTS = sa.table("job_texts", sa.column("number", sa.BigInteger()), sa.column("text", sa.Text()))


def upgrade() -> None:
    op.add_column("job_labels", sa.Column("created_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job_labels", sa.Column("number", sa.BigInteger(), nullable=True))
    op.drop_index("ix_job_labels_key_value", table_name="job_labels")
    op.execute(
        "UPDATE job_labels SET number = jobs.number, created_at = jobs.created_at "
        "FROM jobs WHERE jobs.id = job_labels.job_id"
    )
    op.create_index(
        "ix_job_labels_key_value_created_at_number",
        "job_labels",
        ["key", "value", "created_at", "number"],
    )

    op.create_table(
        "job_texts",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["number"], ["jobs.number"], name="fk_job_texts_number_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_job_texts"),
    )
    _fill_texts()

    op.create_index(
        "ix_jobs_queue_order",
        "jobs",
        ["status", "queue", sa.text("priority DESC"), "number"],
        postgresql_where=QUEUED,
        sqlite_where=QUEUED,
    )
    op.create_index(
        "ix_jobs_model_order",
        "jobs",
        ["status", "queue", "model", sa.text("priority DESC"), "number"],
        postgresql_where=QUEUED,
        sqlite_where=QUEUED,
    )
    op.create_index("ix_jobs_created_at_number", "jobs", ["created_at", "number"])
    op.create_index("ix_jobs_status_created_at_number", "jobs", ["status", "created_at", "number"])
    for replaced in ("ix_jobs_waiting", "ix_jobs_created_at", "ix_jobs_status_number"):
        op.drop_index(replaced, table_name="jobs")

    op.create_index(
        "ix_attempts_running_worker_id",
        "attempts",
        ["worker_id"],
        postgresql_where=RUNNING,
        sqlite_where=RUNNING,
    )
    op.drop_index("ix_attempts_worker_id", table_name="attempts")


def _fill_texts() -> None:
    """Write each job's searchable text, using SQL if the job's spec is ASCII and Python otherwise.

    SQL lowercases other characters according to the database's locale, and a database with the encoding
    SQL_ASCII cannot even read them from JSON.
    """
    connection = op.get_bind()
    has_non_ascii = sa.cast(JOBS.c.spec, sa.Text()).contains("\\u", autoescape=True)
    name = sa.func.coalesce(JOBS.c.spec["name"].as_string(), "")
    joined = name + "\n" + JOBS.c.model + "\n" + JOBS.c.id
    if connection.dialect.name == "postgresql":
        joined = sa.collate(joined, "C")  # in Turkish, the uppercase of i is not I
    plain = sa.select(JOBS.c.number, sa.func.lower(joined)).where(~has_non_ascii)
    op.execute(sa.insert(TEXTS).from_select(["number", "text"], plain))
    last = -1
    while True:
        rows = connection.execute(
            sa.select(JOBS)
            .where(has_non_ascii, JOBS.c.number > last)
            .order_by(JOBS.c.number)
            .limit(BATCH)
        ).all()
        if not rows:
            return
        texts = [(row.number, (row.spec.get("name") or "", row.model, row.id)) for row in rows]
        connection.execute(
            sa.insert(TEXTS),
            [{"number": number, "text": "\n".join(text).casefold()} for number, text in texts],
        )
        last = rows[-1].number


def downgrade() -> None:
    op.create_index("ix_attempts_worker_id", "attempts", ["worker_id"])
    op.drop_index("ix_attempts_running_worker_id", table_name="attempts")
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["queue", "priority", "number"],
        postgresql_where=QUEUED,
        sqlite_where=QUEUED,
    )
    op.create_index("ix_jobs_created_at", "jobs", ["created_at"])
    op.create_index("ix_jobs_status_number", "jobs", ["status", "number"])
    for name in (
        "ix_jobs_status_created_at_number",
        "ix_jobs_created_at_number",
        "ix_jobs_model_order",
        "ix_jobs_queue_order",
    ):
        op.drop_index(name, table_name="jobs")
    op.drop_table("job_texts")
    op.drop_index("ix_job_labels_key_value_created_at_number", table_name="job_labels")
    op.drop_column("job_labels", "number")
    op.drop_column("job_labels", "created_at")
    op.create_index("ix_job_labels_key_value", "job_labels", ["key", "value"])
