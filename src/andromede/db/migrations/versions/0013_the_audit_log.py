"""the audit log: events, the tiles of its tree, and what was signed."""

import sqlalchemy as sa
from alembic import op
from andromede.db.base import Moment

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table('audit_event',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=True),
    sa.Column('at', Moment(), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=True),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('target_id', sa.String(length=64), nullable=True),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.Column('action', sa.String(length=64), nullable=False),
    sa.Column('outcome', sa.String(length=16), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_event')),
    sa.UniqueConstraint('position', name=op.f('uq_audit_event_position')),
    )
    op.create_index('ix_audit_event_at', 'audit_event', ['at'], unique=False)
    op.create_index('ix_audit_event_project_at', 'audit_event', ['project_id', 'at'], unique=False)
    op.create_index(op.f('ix_audit_event_request_id'), 'audit_event', ['request_id'], unique=False)
    op.create_index(op.f('ix_audit_event_target_id'), 'audit_event', ['target_id'], unique=False)
    op.create_table('audit_tile',
    sa.Column('level', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('index', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('hashes', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('level', 'index', name=op.f('pk_audit_tile')),
    )
    op.create_table('audit_checkpoint',
    sa.Column('size', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('at', Moment(), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('size', name=op.f('pk_audit_checkpoint')),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table('audit_checkpoint')
    op.drop_table('audit_tile')
    op.drop_index(op.f('ix_audit_event_target_id'), table_name='audit_event')
    op.drop_index(op.f('ix_audit_event_request_id'), table_name='audit_event')
    op.drop_index('ix_audit_event_project_at', table_name='audit_event')
    op.drop_index('ix_audit_event_at', table_name='audit_event')
    op.drop_table('audit_event')
