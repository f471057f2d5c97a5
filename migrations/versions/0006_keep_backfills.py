"""Keep backfills: how far a stretch of the past was read, kind by kind."""

import sqlalchemy as sa
from alembic import op


revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'backfills',
        sa.Column('source_id', sa.BigInteger(), nullable=False),
        sa.Column('object', sa.Text(), nullable=False),
        sa.Column('run_id', sa.BigInteger(), nullable=False),
        sa.Column('since', sa.BigInteger(), nullable=False),
        sa.Column('until', sa.BigInteger(), nullable=True),
        sa.Column('resume', sa.Text(), nullable=True),
        sa.Column('position', sa.BigInteger(), nullable=True),
        sa.Column('reach', sa.Text(), nullable=False),
        sa.Column('pages', sa.Integer(), server_default='0', nullable=False),
        sa.Column('seen', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('records', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('conversions', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('is_done', sa.Boolean(), server_default=sa.text('false'), nullable=False),
        sa.Column('error', sa.Text(), nullable=True),
        sa.Column('fence', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('requested_at', sa.BigInteger(), nullable=False),
        sa.Column('moved_at', sa.BigInteger(), nullable=True),
        sa.Column('done_at', sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint('source_id', 'object', name=op.f('pk_backfills')),
    )


def downgrade() -> None:
    op.drop_table('backfills')
