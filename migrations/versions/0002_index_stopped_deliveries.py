"""Index stopped deliveries for listing and replay."""

import sqlalchemy as sa
from alembic import op


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

STOPPED = sa.text("state IN ('rejected', 'expired', 'uncertain', 'skipped', 'shadowed')")


def upgrade() -> None:
    op.create_index(
        'ix_deliveries_stopped',
        'deliveries',
        ['destination_id', 'state', 'reason', 'id'],
        sqlite_where=STOPPED,
        postgresql_where=STOPPED,
    )


def downgrade() -> None:
    op.drop_index('ix_deliveries_stopped', table_name='deliveries')
