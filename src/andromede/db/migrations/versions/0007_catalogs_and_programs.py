"""endpoint groups, what catalogs are limited to, OAuth, and tags of servers' network cards."""

import sqlalchemy as sa
from alembic import op
from andromede.db.base import Json
from andromede.db.base import Moment

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table('identity_endpoint_group',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('filters', Json(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_endpoint_group'))
    )
    op.create_table('identity_endpoint_filter',
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('target_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], name=op.f('fk_identity_endpoint_filter_project_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('project_id', 'kind', 'target_id', name=op.f('pk_identity_endpoint_filter'))
    )
    op.create_table('identity_consumer',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('extra', Json(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_consumer'))
    )
    op.create_table('identity_request_token',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('consumer_id', sa.String(length=64), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('expires', Moment(), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=True),
    sa.Column('roles', Json(), nullable=True),
    sa.Column('verifier', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['consumer_id'], ['identity_consumer.id'], name=op.f('fk_identity_request_token_consumer_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['project_id'], ['identity_project.id'], name=op.f('fk_identity_request_token_project_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], name=op.f('fk_identity_request_token_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_request_token'))
    )
    op.create_table('identity_access_token',
    sa.Column('id', sa.String(length=64), nullable=False),
    sa.Column('consumer_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('trust_id', sa.String(length=64), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['consumer_id'], ['identity_consumer.id'], name=op.f('fk_identity_access_token_consumer_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['trust_id'], ['identity_trust.id'], name=op.f('fk_identity_access_token_trust_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['identity_user.id'], name=op.f('fk_identity_access_token_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_access_token')),
    sa.UniqueConstraint('trust_id', name=op.f('uq_identity_access_token_trust_id'))
    )
    with op.batch_alter_table('identity_access_token', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_access_token_user_id'), ['user_id'], unique=False)

    with op.batch_alter_table('compute_server', schema=None) as batch_op:
        batch_op.add_column(sa.Column('nic_tags', Json(), nullable=True))


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table('compute_server', schema=None) as batch_op:
        batch_op.drop_column('nic_tags')

    with op.batch_alter_table('identity_access_token', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_identity_access_token_user_id'))

    op.drop_table('identity_access_token')
    op.drop_table('identity_request_token')
    op.drop_table('identity_consumer')
    op.drop_table('identity_endpoint_filter')
    op.drop_table('identity_endpoint_group')
