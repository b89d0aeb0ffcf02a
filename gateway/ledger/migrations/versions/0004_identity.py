"""character sets, corrections, preflight"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "source", sa.Column("charset", sa.String(length=32), nullable=False, server_default="")
    )
    op.add_column("study", sa.Column("text_origin", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column(
        "study", sa.Column("delivered_uid", sa.String(length=64), nullable=False, server_default="")
    )
    # In plain SQL: SQLite would copy the table and drop the one that others refer to.
    op.execute("ALTER TABLE derived ADD COLUMN destination_id INTEGER REFERENCES destination (id)")
    op.add_column("derived", sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "correction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("attributes_before", sa.JSON(), nullable=False),
        sa.Column("study_instance_uid_before", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_correction_study_id"), "correction", ["study_id"])
    op.create_table(
        "rejection",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("note_id", sa.Integer(), nullable=False),
        sa.Column("derived_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["derived.id"]),
        sa.ForeignKeyConstraint(["derived_id"], ["derived.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("note_id", "derived_id"),
    )
    op.create_index(op.f("ix_rejection_note_id"), "rejection", ["note_id"])


def downgrade() -> None:
    op.drop_table("rejection")
    op.drop_table("correction")
    op.drop_column("derived", "checked_at")
    op.drop_column("derived", "destination_id")
    op.drop_column("study", "delivered_uid")
    op.drop_column("study", "text_origin")
    op.drop_column("source", "charset")
