"""destination profiles, capabilities, breakers, routes with conditions, truths, tasks"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_PROFILE = (
    ("kind", sa.String(32), "dimse"),
    ("calling_ae_title", sa.String(16), ""),
    ("base_url", sa.String(400), ""),
    ("use_tls", sa.Boolean(), sa.false()),
    ("tls_ca_file", sa.String(400), ""),
    ("tls_certificate_file", sa.String(400), ""),
    ("tls_key_file", sa.String(400), ""),
    ("tls_server_name", sa.String(255), ""),
    ("auth", sa.String(32), "none"),
    ("auth_user", sa.String(255), ""),
    ("auth_secret_file", sa.String(400), ""),
    ("token_url", sa.String(400), ""),
    ("token_scope", sa.String(255), ""),
    ("green_at", sa.String(32), "committed"),
    ("commitment_ae_title", sa.String(16), ""),
    ("commitment_host", sa.String(255), ""),
    ("commitment_port", sa.Integer(), None),
    ("query_ae_title", sa.String(16), ""),
    ("query_host", sa.String(255), ""),
    ("query_port", sa.Integer(), None),
    ("frames_max", sa.Integer(), None),
    ("instance_bytes_max", sa.BigInteger(), None),
    ("pdu_bytes_max", sa.Integer(), None),
    ("charset", sa.String(32), ""),
    ("carrier", sa.String(32), "automatic"),
    ("associations_max", sa.Integer(), "2"),
    ("bandwidth_bytes_s", sa.BigInteger(), None),
    ("time_windows", sa.String(400), ""),
    ("time_zone", sa.String(64), "UTC"),
    ("priority", sa.Integer(), "0"),
    ("contents", sa.String(32), "everything"),
    ("deidentification_profile", sa.String(255), ""),
    ("pseudonym_domain", sa.String(64), ""),
    ("probed_at", sa.DateTime(timezone=True), None),
    ("probe_detail", sa.String(400), ""),
    ("peer_pdu_bytes_max", sa.Integer(), None),
    ("checked_at", sa.DateTime(timezone=True), None),
)
"""Name, type, server default; None: the column may be empty."""


def upgrade() -> None:
    for name, kind, default in _PROFILE:
        op.add_column(
            "destination",
            sa.Column(name, kind, nullable=default is None, server_default=default),
        )
    op.execute("UPDATE destination SET green_at = 'acknowledged' WHERE NOT commitment")
    op.add_column(
        "transfer", sa.Column("associations", sa.Integer(), nullable=False, server_default="0")
    )
    for name in ("sent_at", "verified_at"):
        op.add_column("transfer_item", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE transfer_item SET sent_at = acknowledged_at")
    _new_tables()
    # In plain SQL: SQLite would copy the table.
    op.execute("ALTER TABLE transfer_item ADD COLUMN adapted_id INTEGER REFERENCES adapted (id)")
    _replace_route(
        sa.Column("conditions", sa.JSON(), nullable=False, server_default="{}"), unique=False
    )


def downgrade() -> None:
    op.execute("DELETE FROM route WHERE CAST(conditions AS TEXT) != '{}'")
    _replace_route(unique=True)
    op.drop_column("transfer_item", "adapted_id")
    for name in ("asked_of_us", "adapted", "task", "breaker", "capability"):
        op.drop_table(name)
    for name in ("sent_at", "verified_at"):
        op.drop_column("transfer_item", name)
    op.drop_column("transfer", "associations")
    for name, _, _ in reversed(_PROFILE):
        op.drop_column("destination", name)


def _replace_route(*added: "sa.Column[object]", unique: bool) -> None:
    """Copy the table: SQLite cannot drop a constraint. Nothing refers to it."""
    constraints = [sa.UniqueConstraint("source_id", "destination_id")] if unique else []
    op.create_table(
        "route_copied",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=True),
        sa.Column("destination_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        *added,
        sa.ForeignKeyConstraint(["destination_id"], ["destination.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        *constraints,
    )
    columns = "source_id, destination_id, created_at"
    op.execute(
        f"INSERT INTO route_copied ({columns}) SELECT {columns} FROM route ORDER BY id"  # noqa: S608
    )
    op.drop_table("route")
    op.rename_table("route_copied", "route")


def _new_tables() -> None:
    op.create_table(
        "capability",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("destination_id", sa.Integer(), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(64), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(255), nullable=False),
        sa.ForeignKeyConstraint(["destination_id"], ["destination.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("destination_id", "sop_class_uid", "transfer_syntax_uid"),
    )
    op.create_table(
        "breaker",
        sa.Column("destination_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("failure_count", sa.Integer(), nullable=False),
        sa.Column("opened_count", sa.Integer(), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("state_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["destination_id"], ["destination.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("destination_id"),
    )
    op.create_table(
        "task",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("destination_id", sa.Integer(), nullable=False),
        sa.Column("transfer_id", sa.Integer(), nullable=False),
        sa.Column("detail", sa.String(1000), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(64), nullable=False),
        sa.Column("resolution", sa.String(400), nullable=False),
        sa.ForeignKeyConstraint(["destination_id"], ["destination.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfer.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_task_transfer_id", "task", ["transfer_id"])
    op.create_index("task_open", "task", ["closed_at"])
    op.create_table(
        "adapted",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("derived_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(128), nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("series_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(64), nullable=False),
        sa.Column("storage_key", sa.String(255), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("frame_count", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["derived_id"], ["derived.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("derived_id", "purpose"),
    )
    op.create_index("ix_adapted_sop_instance_uid", "adapted", ["sop_instance_uid"])
    op.create_table(
        "asked_of_us",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("calling_ae_title", sa.String(16), nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("peer_host", sa.String(255), nullable=False),
        sa.Column("instances", sa.JSON(), nullable=False),
        sa.Column("failed", sa.JSON(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("calling_ae_title", "transaction_uid"),
    )
