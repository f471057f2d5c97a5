"""Value accounts and fits: a conversion's own value beside what it carries, what a lead is worth, fitted values."""

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
    op.create_table(
        'value_fits',
        sa.Column('source_id', sa.BigInteger(), nullable=False),
        sa.Column('version', sa.Integer(), nullable=False),
        sa.Column('mapping_version', sa.Integer(), nullable=False),
        sa.Column('fitted_at', sa.BigInteger(), nullable=False),
        sa.Column('fit_json', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('source_id', 'version', name=op.f('pk_value_fits')),
    )


def downgrade() -> None:
    op.drop_table('value_fits')
    op.drop_table('accounts')
    with op.batch_alter_table('conversions', schema=None) as batch_op:
        batch_op.drop_column('nominal_currency')
        batch_op.drop_column('nominal_micros')
