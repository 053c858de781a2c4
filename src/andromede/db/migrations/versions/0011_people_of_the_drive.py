"""devices, sign-ins, shares, notices and words of the drive's people."""

import sqlalchemy as sa
from alembic import op
from andromede.db.base import Json
from andromede.db.base import Moment

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table('drive_login',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('opened', sa.String(length=64), nullable=False),
    sa.Column('device', sa.String(length=255), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('created', Moment(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_login')),
    sa.UniqueConstraint('opened', name=op.f('uq_drive_login_opened'))
    )
    op.create_table('drive_mount',
    sa.Column('share_id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('hidden', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('share_id', 'user_id', name=op.f('pk_drive_mount')),
    sa.UniqueConstraint('user_id', 'name', name=op.f('uq_drive_mount_user_id_name'))
    )
    op.create_table('drive_notice',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('share_id', sa.Integer(), nullable=False),
    sa.Column('facts', Json(), nullable=False),
    sa.Column('created', Moment(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_notice')),
    sqlite_autoincrement=True
    )
    op.create_index(op.f('ix_drive_notice_share_id'), 'drive_notice', ['share_id'], unique=False)
    op.create_index(op.f('ix_drive_notice_user_id'), 'drive_notice', ['user_id'], unique=False)
    op.create_table('drive_password',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('scopes', Json(), nullable=False),
    sa.Column('created', Moment(), nullable=False),
    sa.Column('used', Moment(), nullable=True),
    sa.Column('expires', Moment(), nullable=True),
    sa.Column('wipe', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_password')),
    sa.UniqueConstraint('hash', name=op.f('uq_drive_password_hash'))
    )
    op.create_index(op.f('ix_drive_password_user_id'), 'drive_password', ['user_id'], unique=False)
    op.create_table('drive_share',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('kind', sa.Integer(), nullable=False),
    sa.Column('node_id', sa.Integer(), nullable=False),
    sa.Column('space_id', sa.String(length=36), nullable=False),
    sa.Column('owner_id', sa.String(length=64), nullable=False),
    sa.Column('by_id', sa.String(length=64), nullable=False),
    sa.Column('with_id', sa.String(length=64), nullable=False),
    sa.Column('permissions', sa.Integer(), nullable=False),
    sa.Column('token', sa.String(length=64), nullable=True),
    sa.Column('password', sa.Text(), nullable=False),
    sa.Column('label', sa.String(length=255), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.Column('hide_download', sa.Boolean(), nullable=False),
    sa.Column('expires', Moment(), nullable=True),
    sa.Column('created', Moment(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_share')),
    sa.UniqueConstraint('token', name=op.f('uq_drive_share_token')),
    sqlite_autoincrement=True
    )
    op.create_index(op.f('ix_drive_share_by_id'), 'drive_share', ['by_id'], unique=False)
    op.create_index(op.f('ix_drive_share_node_id'), 'drive_share', ['node_id'], unique=False)
    op.create_index(op.f('ix_drive_share_owner_id'), 'drive_share', ['owner_id'], unique=False)
    op.create_index('ix_drive_share_with', 'drive_share', ['kind', 'with_id'], unique=False)
    op.create_table('drive_status',
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('icon', sa.String(length=64), nullable=False),
    sa.Column('message', sa.String(length=255), nullable=False),
    sa.Column('message_id', sa.String(length=64), nullable=False),
    sa.Column('clear', Moment(), nullable=True),
    sa.Column('changed', Moment(), nullable=False),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_drive_status'))
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table('drive_status')
    op.drop_index('ix_drive_share_with', table_name='drive_share')
    op.drop_index(op.f('ix_drive_share_owner_id'), table_name='drive_share')
    op.drop_index(op.f('ix_drive_share_node_id'), table_name='drive_share')
    op.drop_index(op.f('ix_drive_share_by_id'), table_name='drive_share')
    op.drop_table('drive_share')
    op.drop_index(op.f('ix_drive_password_user_id'), table_name='drive_password')
    op.drop_table('drive_password')
    op.drop_index(op.f('ix_drive_notice_user_id'), table_name='drive_notice')
    op.drop_index(op.f('ix_drive_notice_share_id'), table_name='drive_notice')
    op.drop_table('drive_notice')
    op.drop_table('drive_mount')
    op.drop_table('drive_login')
