"""List deleted records: when a kind's deletions were listed last."""

import sqlalchemy as sa
from alembic import op


revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('cursors', sa.Column('deletions_listed_at', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column('cursors', 'deletions_listed_at')
