"""Watch webhooks: marks of waiting hints, and what only polls found since the last hint."""

import sqlalchemy as sa
from alembic import op


revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('inbox', sa.Column('merged_into', sa.Text(), nullable=True))
    op.add_column('inbox', sa.Column('erases', sa.Boolean(), server_default=sa.text('(false)'), nullable=False))
    op.create_table('webhook_watch',
    sa.Column('source_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('hints', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('last_hint_at', sa.BigInteger(), nullable=True),
    sa.Column('found_by_poll', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('found_since', sa.BigInteger(), nullable=True),
    sa.Column('found_in_all', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('told_at', sa.BigInteger(), nullable=True),
    sa.Column('kept_at', sa.BigInteger(), nullable=True),
    sa.Column('kept_error', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('source_id', name=op.f('pk_webhook_watch'))
    )


def downgrade() -> None:
    op.drop_table('webhook_watch')
    op.drop_column('inbox', 'erases')
    op.drop_column('inbox', 'merged_into')
