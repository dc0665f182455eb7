"""What inventory read and could not take is kept, as orders and the allocator keep theirs.

Revision 0011, after 0010.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute("""
CREATE TABLE inventory.dead_letter (
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    written_at timestamptz NOT NULL,
    key bytea,
    value bytea,
    headers jsonb NOT NULL,
    field text NOT NULL,
    reason text NOT NULL,
    status text NOT NULL DEFAULT 'waiting',
    found_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (topic, partition, record_offset),
    CONSTRAINT dead_letter_status_known CHECK (status IN ('waiting', 'replayed', 'discarded'))
)""")


def downgrade() -> None:
    """Drop it with what it holds."""
    op.execute("DROP TABLE inventory.dead_letter")
