"""Split uploads of unnamed failures: how many rows a delivery may share a request with."""

import sqlalchemy as sa
from alembic import op


revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('deliveries', sa.Column('most_together', sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column('deliveries', 'most_together')
