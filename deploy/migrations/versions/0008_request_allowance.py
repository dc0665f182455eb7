"""Rate limits: what every API key and every unknown address has spent.

Revision 0008, after 0007.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SQL = """
-- Unlogged: it is of the last two seconds, and after a crash everybody begins anew.
CREATE UNLOGGED TABLE access.request_allowance (
    subject text NOT NULL,
    spent_until timestamptz NOT NULL,
    CONSTRAINT request_allowance_pkey PRIMARY KEY (subject)
) WITH (fillfactor = 50);
COMMENT ON COLUMN access.request_allowance.spent_until IS 'Up to when requests have been spent; never later than now';
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(SQL)


def downgrade() -> None:
    """Drop it: nothing is limited."""
    op.execute("DROP TABLE access.request_allowance")
