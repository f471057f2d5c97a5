"""Keep reapplies: how far a mapping version was applied again to what is stored."""

import sqlalchemy as sa
from alembic import op


revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'reapplies',
        sa.Column('source_id', sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column('run_id', sa.BigInteger(), nullable=False),
        sa.Column('version', sa.Integer(), nullable=False),
        sa.Column('restates', sa.Boolean(), nullable=False),
        sa.Column('after', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('until', sa.BigInteger(), nullable=False),
        sa.Column('seen', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('conversions', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('revalued', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('ended', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('deliveries', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('fence', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('requested_by', sa.Text(), nullable=False),
        sa.Column('requested_at', sa.BigInteger(), nullable=False),
        sa.Column('done_at', sa.BigInteger(), nullable=True),
        sa.Column('given_up', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint('source_id', name=op.f('pk_reapplies')),
    )


def downgrade() -> None:
    op.drop_table('reapplies')
