"""Keep write-backs: what was last written into the CRM, by record and property."""

import sqlalchemy as sa
from alembic import op


revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'write_backs',
        sa.Column('source_id', sa.BigInteger(), nullable=False),
        sa.Column('record_id', sa.BigInteger(), nullable=False),
        sa.Column('property', sa.Text(), nullable=False),
        sa.Column('text_hash', sa.Text(), nullable=False),
        sa.Column('written_at', sa.BigInteger(), nullable=False),
        sa.Column('outcome', sa.Text(), nullable=False),
        sa.Column('refused_code', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint('record_id', 'property'),
    )


def downgrade() -> None:
    op.drop_table('write_backs')
