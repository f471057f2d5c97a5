"""Take ids without waiting: a sequence of blocks on PostgreSQL; and an index for the order of hints."""

import sqlalchemy as sa
from alembic import op


revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

BLOCK = 10_000
# Replicas of the older version go on taking ids from the table during a rolling upgrade: they have this many left.
GAP = 100_000_000


def upgrade() -> None:
    op.create_index('ix_inbox_oldest', 'inbox', ['source_id', 'hint_at', 'seq'], unique=False)
    if op.get_bind().dialect.name != 'postgresql':
        return
    next_id = op.get_bind().scalar(sa.text("SELECT next_id FROM id_blocks WHERE name = 'all'"))
    start = 1 if next_id is None else next_id + GAP
    op.execute(f'CREATE SEQUENCE id_starts AS bigint INCREMENT BY {BLOCK} MINVALUE 1 START WITH {start}')


def downgrade() -> None:
    if op.get_bind().dialect.name == 'postgresql':
        # The last block may be in use up to its end; where none was taken, the start is free still.
        op.execute(
            "INSERT INTO id_blocks (name, next_id) "
            f"SELECT 'all', last_value + CASE WHEN is_called THEN {BLOCK} ELSE 0 END FROM id_starts "
            "ON CONFLICT (name) DO UPDATE SET next_id = greatest(id_blocks.next_id, excluded.next_id)"
        )
        op.execute('DROP SEQUENCE id_starts')
    op.drop_index('ix_inbox_oldest', table_name='inbox')
