"""Send to every platform: frozen instants, repeats of unknown effect, adaptive batches, unknown codes, spend by account."""

import sqlalchemy as sa
from alembic import op


revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('deliveries', schema=None) as batch_op:
        batch_op.add_column(sa.Column('sent_at', sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column('unknown_tries', sa.Integer(), nullable=False, server_default='0'))
    with op.batch_alter_table('destinations', schema=None) as batch_op:
        batch_op.add_column(sa.Column('adaptive_rows', sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column('clean_requests', sa.Integer(), nullable=False, server_default='0'))
        batch_op.add_column(sa.Column('spend_read_at', sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column('spend_error', sa.Text(), nullable=True))
    with op.batch_alter_table('spend', schema=None) as batch_op:
        batch_op.add_column(sa.Column('destination_id', sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column('time_zone', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('read_at', sa.BigInteger(), nullable=True))
        batch_op.create_index(
            'ix_spend_destination',
            ['destination_id', 'day'],
            sqlite_where=sa.text('destination_id IS NOT NULL'),
            postgresql_where=sa.text('destination_id IS NOT NULL'),
        )
    op.create_table(
        'unknown_codes',
        sa.Column('destination_id', sa.BigInteger(), nullable=False),
        sa.Column('code', sa.Text(), nullable=False),
        sa.Column('times', sa.BigInteger(), nullable=False),
        sa.Column('first_at', sa.BigInteger(), nullable=False),
        sa.Column('last_at', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('destination_id', 'code'),
    )


def downgrade() -> None:
    op.drop_table('unknown_codes')
    with op.batch_alter_table('spend', schema=None) as batch_op:
        batch_op.drop_index('ix_spend_destination')
        batch_op.drop_column('read_at')
        batch_op.drop_column('time_zone')
        batch_op.drop_column('destination_id')
    with op.batch_alter_table('destinations', schema=None) as batch_op:
        batch_op.drop_column('spend_error')
        batch_op.drop_column('spend_read_at')
        batch_op.drop_column('clean_requests')
        batch_op.drop_column('adaptive_rows')
    with op.batch_alter_table('deliveries', schema=None) as batch_op:
        batch_op.drop_column('unknown_tries')
        batch_op.drop_column('sent_at')
