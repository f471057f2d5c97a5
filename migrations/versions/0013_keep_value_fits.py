"""Keep value fits: what a source's own history teaches of its milestones, version by version."""

import sqlalchemy as sa
from alembic import op


revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
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
