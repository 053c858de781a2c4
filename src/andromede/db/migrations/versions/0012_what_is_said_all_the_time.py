"""what nodes and hosts say all the time stands where no request writes: states of servers, changes of hosts' sets."""

import sqlalchemy as sa
from alembic import op
from andromede.db.base import Json
from andromede.db.base import Moment

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table('compute_host_change',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_compute_host_change'))
    )
    op.create_index(op.f('ix_compute_host_change_host'), 'compute_host_change', ['host'], unique=False)
    op.create_table('compute_told',
    sa.Column('server_id', sa.String(length=36), nullable=False),
    sa.Column('state', sa.Text(), nullable=True),
    sa.Column('heard', Moment(), nullable=True),
    sa.ForeignKeyConstraint(['server_id'], ['compute_channel.server_id'], name=op.f('fk_compute_told_server_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('server_id', name=op.f('pk_compute_told'))
    )
    op.execute('INSERT INTO compute_told (server_id, state, heard) SELECT server_id, state, heard FROM compute_channel')
    op.drop_column('compute_channel', 'state')
    op.drop_column('compute_channel', 'heard')
    op.drop_column('hadoop_cluster', 'seen')


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table('hadoop_cluster', schema=None) as batch_op:
        batch_op.add_column(sa.Column('seen', Json(), nullable=False, server_default='{}'))
    with op.batch_alter_table('compute_channel', schema=None) as batch_op:
        batch_op.add_column(sa.Column('state', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('heard', Moment(), nullable=True))
    op.execute(
        'UPDATE compute_channel SET '
        'state = (SELECT compute_told.state FROM compute_told WHERE compute_told.server_id = compute_channel.server_id), '
        'heard = (SELECT compute_told.heard FROM compute_told WHERE compute_told.server_id = compute_channel.server_id)'
    )
    op.drop_table('compute_told')
    op.execute(
        'UPDATE compute_host SET generation = generation + '
        '(SELECT count(*) FROM compute_host_change WHERE compute_host_change.host = compute_host.name)'
    )
    op.drop_index(op.f('ix_compute_host_change_host'), table_name='compute_host_change')
    op.drop_table('compute_host_change')
