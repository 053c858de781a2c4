"""what is in a volume: those that were there before may hold anything."""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table('volume_volume', schema=None) as batch_op:
        batch_op.add_column(sa.Column('contents', sa.String(length=16), nullable=False, server_default='foreign'))
    with op.batch_alter_table('volume_volume', schema=None) as batch_op:
        batch_op.alter_column('contents', server_default=None)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table('volume_volume', schema=None) as batch_op:
        batch_op.drop_column('contents')
