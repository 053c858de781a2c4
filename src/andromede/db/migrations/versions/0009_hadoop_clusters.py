"""what servers are told and say for the cloud itself; Hadoop clusters, their templates and jobs."""

import sqlalchemy as sa
from alembic import op
from andromede.db.base import Json
from andromede.db.base import Moment

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table('hadoop_cluster',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('is_public', sa.Boolean(), nullable=False),
    sa.Column('is_protected', sa.Boolean(), nullable=False),
    sa.Column('is_transient', sa.Boolean(), nullable=False),
    sa.Column('facts', Json(), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('identity', sa.String(length=64), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('deleting', sa.Boolean(), nullable=False),
    sa.Column('stop_by', Moment(), nullable=True),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('status_description', sa.Text(), nullable=False),
    sa.Column('information', Json(), nullable=False),
    sa.Column('verification', Json(), nullable=True),
    sa.Column('seen', Json(), nullable=False),
    sa.Column('held', Json(), nullable=False),
    sa.Column('idle_since', Moment(), nullable=True),
    sa.Column('scaled', Moment(), nullable=True),
    sa.Column('created', Moment(), nullable=False),
    sa.Column('updated', Moment(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hadoop_cluster')),
    sa.UniqueConstraint('project_id', 'name', name=op.f('uq_hadoop_cluster_project_id_name'))
    )
    op.create_table('hadoop_content',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('is_public', sa.Boolean(), nullable=False),
    sa.Column('is_protected', sa.Boolean(), nullable=False),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('data', sa.LargeBinary(), nullable=False),
    sa.Column('created', Moment(), nullable=False),
    sa.Column('updated', Moment(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hadoop_content')),
    sa.UniqueConstraint('project_id', 'name', name=op.f('uq_hadoop_content_project_id_name'))
    )
    op.create_table('hadoop_job',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('cluster_id', sa.String(length=36), nullable=True),
    sa.Column('template_id', sa.String(length=36), nullable=False),
    sa.Column('is_public', sa.Boolean(), nullable=False),
    sa.Column('is_protected', sa.Boolean(), nullable=False),
    sa.Column('input_id', sa.String(length=36), nullable=True),
    sa.Column('output_id', sa.String(length=36), nullable=True),
    sa.Column('configs', Json(), nullable=False),
    sa.Column('interface', Json(), nullable=True),
    sa.Column('sources', Json(), nullable=False),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('application', sa.String(length=255), nullable=True),
    sa.Column('cancel', sa.Boolean(), nullable=False),
    sa.Column('started', Moment(), nullable=True),
    sa.Column('ended', Moment(), nullable=True),
    sa.Column('created', Moment(), nullable=False),
    sa.Column('updated', Moment(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hadoop_job'))
    )
    op.create_index('ix_hadoop_job_cluster', 'hadoop_job', ['cluster_id', 'ended'], unique=False)
    op.create_index(op.f('ix_hadoop_job_template_id'), 'hadoop_job', ['template_id'], unique=False)
    op.create_table('hadoop_thing',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('project_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('is_public', sa.Boolean(), nullable=False),
    sa.Column('is_protected', sa.Boolean(), nullable=False),
    sa.Column('facts', Json(), nullable=False),
    sa.Column('secret', sa.Text(), nullable=True),
    sa.Column('created', Moment(), nullable=False),
    sa.Column('updated', Moment(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hadoop_thing')),
    sa.UniqueConstraint('project_id', 'kind', 'name', name=op.f('uq_hadoop_thing_project_id_kind_name'))
    )
    op.create_table('compute_channel',
    sa.Column('server_id', sa.String(length=36), nullable=False),
    sa.Column('topic', sa.String(length=64), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('documents', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=True),
    sa.Column('heard', Moment(), nullable=True),
    sa.ForeignKeyConstraint(['server_id'], ['compute_server.id'], name=op.f('fk_compute_channel_server_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('server_id', name=op.f('pk_compute_channel'))
    )
    op.create_table('hadoop_node_group',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('cluster_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('place', sa.Integer(), nullable=False),
    sa.Column('wanted', sa.Integer(), nullable=False),
    sa.Column('next', sa.Integer(), nullable=False),
    sa.Column('facts', Json(), nullable=False),
    sa.Column('created', Moment(), nullable=False),
    sa.Column('updated', Moment(), nullable=True),
    sa.ForeignKeyConstraint(['cluster_id'], ['hadoop_cluster.id'], name=op.f('fk_hadoop_node_group_cluster_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hadoop_node_group')),
    sa.UniqueConstraint('cluster_id', 'name', name=op.f('uq_hadoop_node_group_cluster_id_name'))
    )
    op.create_index(op.f('ix_hadoop_node_group_cluster_id'), 'hadoop_node_group', ['cluster_id'], unique=False)
    op.create_table('hadoop_step',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('cluster_id', sa.String(length=36), nullable=False),
    sa.Column('type', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('place', sa.Integer(), nullable=False),
    sa.Column('total', sa.Integer(), nullable=False),
    sa.Column('successful', sa.Boolean(), nullable=True),
    sa.Column('events', Json(), nullable=False),
    sa.Column('created', Moment(), nullable=False),
    sa.Column('updated', Moment(), nullable=True),
    sa.ForeignKeyConstraint(['cluster_id'], ['hadoop_cluster.id'], name=op.f('fk_hadoop_step_cluster_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hadoop_step'))
    )
    op.create_index(op.f('ix_hadoop_step_cluster_id'), 'hadoop_step', ['cluster_id'], unique=False)
    op.create_table('hadoop_node',
    sa.Column('server_id', sa.String(length=36), nullable=False),
    sa.Column('cluster_id', sa.String(length=36), nullable=False),
    sa.Column('group_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('address', sa.String(length=64), nullable=False),
    sa.Column('floating', sa.String(length=64), nullable=True),
    sa.Column('floating_id', sa.String(length=36), nullable=True),
    sa.Column('vcpus', sa.Integer(), nullable=False),
    sa.Column('ram', sa.Integer(), nullable=False),
    sa.Column('container', sa.Boolean(), nullable=False),
    sa.Column('volumes', Json(), nullable=False),
    sa.Column('leaving', Moment(), nullable=True),
    sa.Column('lost', sa.Boolean(), nullable=False),
    sa.Column('ready', Moment(), nullable=True),
    sa.Column('created', Moment(), nullable=False),
    sa.ForeignKeyConstraint(['cluster_id'], ['hadoop_cluster.id'], name=op.f('fk_hadoop_node_cluster_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['group_id'], ['hadoop_node_group.id'], name=op.f('fk_hadoop_node_group_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('server_id', name=op.f('pk_hadoop_node'))
    )
    op.create_index(op.f('ix_hadoop_node_cluster_id'), 'hadoop_node', ['cluster_id'], unique=False)
    op.create_index(op.f('ix_hadoop_node_group_id'), 'hadoop_node', ['group_id'], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f('ix_hadoop_node_group_id'), table_name='hadoop_node')
    op.drop_index(op.f('ix_hadoop_node_cluster_id'), table_name='hadoop_node')
    op.drop_table('hadoop_node')
    op.drop_index(op.f('ix_hadoop_step_cluster_id'), table_name='hadoop_step')
    op.drop_table('hadoop_step')
    op.drop_index(op.f('ix_hadoop_node_group_cluster_id'), table_name='hadoop_node_group')
    op.drop_table('hadoop_node_group')
    op.drop_table('compute_channel')
    op.drop_table('hadoop_thing')
    op.drop_index(op.f('ix_hadoop_job_template_id'), table_name='hadoop_job')
    op.drop_index('ix_hadoop_job_cluster', table_name='hadoop_job')
    op.drop_table('hadoop_job')
    op.drop_table('hadoop_content')
    op.drop_table('hadoop_cluster')
