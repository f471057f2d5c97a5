"""Value accounts: a conversion's own value beside what it carries, and what a lead is worth."""

import sqlalchemy as sa
from alembic import op


revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('conversions', schema=None) as batch_op:
        batch_op.add_column(sa.Column('nominal_micros', sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column('nominal_currency', sa.Text(), nullable=True))
    op.create_table(
        'accounts',
        sa.Column('id', sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column('source_id', sa.BigInteger(), nullable=False),
        sa.Column('worth_micros', sa.BigInteger(), nullable=False),
        sa.Column('currency', sa.Text(), nullable=False),
        sa.Column('at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_accounts')),
    )


def downgrade() -> None:
    op.drop_table('accounts')
    with op.batch_alter_table('conversions', schema=None) as batch_op:
        batch_op.drop_column('nominal_currency')
        batch_op.drop_column('nominal_micros')
