"""the drive: spaces, nodes of their trees, content, versions, trash, properties, locks, uploads."""

import sqlalchemy as sa
from alembic import op
from andromede.db.base import Moment

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table('drive_body',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('space_id', sa.String(length=36), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('extents', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_body')),
    sqlite_autoincrement=True
    )
    op.create_index('ix_drive_body_space', 'drive_body', ['space_id'], unique=False)
    op.create_table('drive_space',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('owner_id', sa.String(length=64), nullable=False),
    sa.Column('quota', sa.BigInteger(), nullable=True),
    sa.Column('root_id', sa.Integer(), nullable=False),
    sa.Column('trash_id', sa.Integer(), nullable=False),
    sa.Column('kept', sa.BigInteger(), nullable=False),
    sa.Column('created', Moment(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_space')),
    sa.UniqueConstraint('kind', 'owner_id', name=op.f('uq_drive_space_kind_owner_id'))
    )
    op.create_table('drive_upload',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('space_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_upload')),
    sa.UniqueConstraint('space_id', 'name', name=op.f('uq_drive_upload_space_id_name')),
    sqlite_autoincrement=True
    )
    op.create_table('drive_node',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('space_id', sa.String(length=36), nullable=False),
    sa.Column('parent_id', sa.Integer(), nullable=True),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('folder', sa.Boolean(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('etag', sa.String(length=32), nullable=False),
    sa.Column('mtime', sa.BigInteger(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.Column('mime', sa.String(length=255), nullable=False),
    sa.Column('checksums', sa.Text(), nullable=False),
    sa.Column('body_id', sa.Integer(), nullable=True),
    sa.Column('changed', sa.BigInteger(), nullable=False),
    sa.Column('placed', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['body_id'], ['drive_body.id'], name=op.f('fk_drive_node_body_id')),
    sa.ForeignKeyConstraint(['parent_id'], ['drive_node.id'], name=op.f('fk_drive_node_parent_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_node')),
    sa.UniqueConstraint('parent_id', 'name', name=op.f('uq_drive_node_parent_id_name')),
    sqlite_autoincrement=True
    )
    op.create_index('ix_drive_node_body', 'drive_node', ['body_id'], unique=False)
    op.create_index('ix_drive_node_changed', 'drive_node', ['parent_id', 'changed'], unique=False)
    op.create_table('drive_upload_part',
    sa.Column('upload_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('etag', sa.String(length=32), nullable=False),
    sa.Column('mtime', sa.BigInteger(), nullable=False),
    sa.Column('extents', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['upload_id'], ['drive_upload.id'], name=op.f('fk_drive_upload_part_upload_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('upload_id', 'name', name=op.f('pk_drive_upload_part'))
    )
    op.create_table('drive_gone',
    sa.Column('parent_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('changed', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['parent_id'], ['drive_node.id'], name=op.f('fk_drive_gone_parent_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('parent_id', 'name', name=op.f('pk_drive_gone'))
    )
    op.create_table('drive_lock',
    sa.Column('token', sa.String(length=64), nullable=False),
    sa.Column('node_id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('infinite', sa.Boolean(), nullable=False),
    sa.Column('shared', sa.Boolean(), nullable=False),
    sa.Column('seconds', sa.Integer(), nullable=False),
    sa.Column('expires', sa.BigInteger(), nullable=False),
    sa.Column('created', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['node_id'], ['drive_node.id'], name=op.f('fk_drive_lock_node_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('token', name=op.f('pk_drive_lock'))
    )
    op.create_index(op.f('ix_drive_lock_node_id'), 'drive_lock', ['node_id'], unique=False)
    op.create_table('drive_mark',
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('node_id', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.ForeignKeyConstraint(['node_id'], ['drive_node.id'], name=op.f('fk_drive_mark_node_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('user_id', 'node_id', 'kind', name=op.f('pk_drive_mark'))
    )
    op.create_index(op.f('ix_drive_mark_node_id'), 'drive_mark', ['node_id'], unique=False)
    op.create_table('drive_prop',
    sa.Column('node_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=512), nullable=False),
    sa.Column('value', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['node_id'], ['drive_node.id'], name=op.f('fk_drive_prop_node_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('node_id', 'name', name=op.f('pk_drive_prop'))
    )
    op.create_table('drive_trashed',
    sa.Column('node_id', sa.Integer(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('deleted', sa.BigInteger(), nullable=False),
    sa.Column('deleted_by', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['node_id'], ['drive_node.id'], name=op.f('fk_drive_trashed_node_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('node_id', name=op.f('pk_drive_trashed'))
    )
    op.create_table('drive_version',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('node_id', sa.Integer(), nullable=False),
    sa.Column('body_id', sa.Integer(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('mtime', sa.BigInteger(), nullable=False),
    sa.Column('etag', sa.String(length=32), nullable=False),
    sa.Column('mime', sa.String(length=255), nullable=False),
    sa.Column('checksums', sa.Text(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('author', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['body_id'], ['drive_body.id'], name=op.f('fk_drive_version_body_id')),
    sa.ForeignKeyConstraint(['node_id'], ['drive_node.id'], name=op.f('fk_drive_version_node_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drive_version')),
    sqlite_autoincrement=True
    )
    op.create_index(op.f('ix_drive_version_body_id'), 'drive_version', ['body_id'], unique=False)
    op.create_index(op.f('ix_drive_version_node_id'), 'drive_version', ['node_id'], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f('ix_drive_version_node_id'), table_name='drive_version')
    op.drop_index(op.f('ix_drive_version_body_id'), table_name='drive_version')
    op.drop_table('drive_version')
    op.drop_table('drive_trashed')
    op.drop_table('drive_prop')
    op.drop_index(op.f('ix_drive_mark_node_id'), table_name='drive_mark')
    op.drop_table('drive_mark')
    op.drop_index(op.f('ix_drive_lock_node_id'), table_name='drive_lock')
    op.drop_table('drive_lock')
    op.drop_table('drive_gone')
    op.drop_table('drive_upload_part')
    op.drop_index('ix_drive_node_changed', table_name='drive_node')
    op.drop_index('ix_drive_node_body', table_name='drive_node')
    op.drop_table('drive_node')
    op.drop_table('drive_upload')
    op.drop_table('drive_space')
    op.drop_index('ix_drive_body_space', table_name='drive_body')
    op.drop_table('drive_body')
