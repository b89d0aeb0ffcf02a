"""listeners"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source", sa.Column("associations_max", sa.Integer(), nullable=True))
    op.add_column(
        "association",
        sa.Column("listener", sa.String(length=40), nullable=False, server_default=""),
    )
    op.create_index("association_outcome", "association", ["outcome", "calling_ae_title"])


def downgrade() -> None:
    op.drop_index("association_outcome", "association")
    op.drop_column("association", "listener")
    op.drop_column("source", "associations_max")
