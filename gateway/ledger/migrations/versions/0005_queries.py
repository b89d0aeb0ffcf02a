"""queries, performed procedure steps"""

import sqlalchemy as sa
from alembic import op

from gateway.ledger import search_keys

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NAMES = ("name_alphabetic", "name_ideographic", "name_phonetic")
_BATCH = 1000


def upgrade() -> None:
    for name, length in (*((name, 128) for name in _NAMES), ("study_identifier", 16)):
        op.add_column(
            "study", sa.Column(name, sa.String(length=length), nullable=False, server_default="")
        )
    _fill()
    for name in (*_NAMES, "delivered_uid"):
        op.create_index(
            f"study_{name}",
            "study",
            [name],
            postgresql_ops={name: "varchar_pattern_ops"},
            sqlite_where=sa.text(f"{name} != ''"),
            postgresql_where=sa.text(f"{name} != ''"),
        )
    op.create_index("study_date_time", "study", ["study_date", "study_time"])
    op.create_index("study_identifier", "study", ["study_identifier"])
    op.create_index("series_uid", "series", ["series_instance_uid"])
    op.create_index("derived_series_uid", "derived", ["series_instance_uid"])
    op.create_index("derived_uid", "derived", ["sop_instance_uid"])
    op.create_table(
        "performed_step",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "IN PROGRESS", "COMPLETED", "DISCONTINUED",
                name="stepstate", native_enum=False, length=32,
            ),
            nullable=False,
        ),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sop_instance_uid"),
    )  # fmt: skip
    op.create_table(
        "performed_series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("step_id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("instance_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["performed_step.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("step_id", "study_instance_uid", "series_instance_uid"),
    )
    op.create_index(op.f("ix_performed_series_step_id"), "performed_series", ["step_id"])
    op.create_index(
        op.f("ix_performed_series_study_instance_uid"), "performed_series", ["study_instance_uid"]
    )


def downgrade() -> None:
    op.drop_table("performed_series")
    op.drop_table("performed_step")
    for table, index in (
        ("derived", "derived_uid"),
        ("derived", "derived_series_uid"),
        ("series", "series_uid"),
        ("study", "study_delivered_uid"),
        ("study", "study_identifier"),
        ("study", "study_date_time"),
        *(("study", f"study_{name}") for name in _NAMES),
    ):
        op.drop_index(index, table)
    for name in ("study_identifier", *_NAMES):
        op.drop_column("study", name)


def _fill() -> None:
    """Make the keys of the studies there are."""
    connection = op.get_bind()
    study = sa.table(
        "study",
        sa.column("id", sa.Integer()),
        sa.column("patient_name", sa.String()),
        sa.column("attributes", sa.JSON()),
        *(sa.column(name, sa.String()) for name in (*_NAMES, "study_identifier")),
    )
    after = 0
    while rows := connection.execute(
        sa.select(study.c.id, study.c.patient_name, study.c.attributes)
        .where(study.c.id > after)
        .order_by(study.c.id)
        .limit(_BATCH)
    ).all():
        for row in rows:
            keys = search_keys.of_study(row.patient_name, row.attributes)
            connection.execute(sa.update(study).where(study.c.id == row.id).values(**keys))
        after = rows[-1].id
