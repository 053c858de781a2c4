"""what is kept of servers and ports that are on their way to another host."""

import sqlalchemy as sa
from alembic import op
from andromede.db.base import Json

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table('compute_server', schema=None) as batch_op:
        batch_op.add_column(sa.Column('target', sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column('move', Json(), nullable=True))
        batch_op.add_column(sa.Column('seen_move', Json(), nullable=True))
        batch_op.create_index(batch_op.f('ix_compute_server_target'), ['target'], unique=False)

    with op.batch_alter_table('compute_block_device', schema=None) as batch_op:
        batch_op.add_column(sa.Column('swap', sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column('swapping', sa.Boolean(), server_default=sa.text('false'), nullable=False))
        batch_op.add_column(sa.Column('seen_swap', sa.Boolean(), server_default=sa.text('false'), nullable=False))
        batch_op.add_column(sa.Column('slot', sa.String(length=36), nullable=True))

    with op.batch_alter_table('volume_volume', schema=None) as batch_op:
        batch_op.add_column(sa.Column('target', sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column('move', Json(), nullable=True))
        batch_op.add_column(sa.Column('seen_target', Json(), nullable=True))
        batch_op.create_index(batch_op.f('ix_volume_volume_target'), ['target'], unique=False)

    with op.batch_alter_table('net_binding', schema=None) as batch_op:
        batch_op.add_column(sa.Column('moving', sa.Boolean(), server_default=sa.text('false'), nullable=False))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table('net_binding', schema=None) as batch_op:
        batch_op.drop_column('moving')

    with op.batch_alter_table('volume_volume', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_volume_volume_target'))
        batch_op.drop_column('seen_target')
        batch_op.drop_column('move')
        batch_op.drop_column('target')

    with op.batch_alter_table('compute_block_device', schema=None) as batch_op:
        batch_op.drop_column('slot')
        batch_op.drop_column('seen_swap')
        batch_op.drop_column('swapping')
        batch_op.drop_column('swap')

    with op.batch_alter_table('compute_server', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_compute_server_target'))
        batch_op.drop_column('seen_move')
        batch_op.drop_column('move')
        batch_op.drop_column('target')
