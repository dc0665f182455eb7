"""The allocator's demand side: one row per demand.

Revision 0003, after 0002.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE allocator.demand (
    demand text NOT NULL,
    partition integer NOT NULL,
    merchant text NOT NULL,
    status text NOT NULL,
    wish text NOT NULL,
    version bigint NOT NULL,
    attempt bigint NOT NULL,
    deadline_at timestamptz,
    closed_at timestamptz,
    state json NOT NULL,
    CONSTRAINT demand_pkey PRIMARY KEY (demand),
    CONSTRAINT demand_status_known CHECK (
        status IN ('released', 'lines', 'trying', 'waiting', 'backoff', 'allocated', 'closed', 'consumed')
    ),
    CONSTRAINT demand_wish_known CHECK (wish IN ('nothing', 'stock', 'picking', 'consumption', 'closed')),
    CONSTRAINT demand_deadline_of_an_attempt CHECK ((deadline_at IS NOT NULL) = (status IN ('trying', 'backoff'))),
    CONSTRAINT demand_closed_when_ended CHECK (closed_at IS NULL OR status IN ('closed', 'consumed')),
    CONSTRAINT demand_numbers_from_zero CHECK (version >= 1 AND attempt >= 0)
) WITH (fillfactor = 40);
COMMENT ON TABLE allocator.demand IS 'What wants stock: owner''s wish and version, present attempt, newest outcome of every SKU';
COMMENT ON COLUMN allocator.demand.state IS 'Terms, rows held and released, outcomes, picking; json, not jsonb: read whole, never searched';

CREATE INDEX demand_deadline ON allocator.demand (partition, deadline_at) WHERE deadline_at IS NOT NULL;
"""


def upgrade() -> None:
    """Make the table. A row is updated a few times soon after it was made, in place: hence fillfactor (at 60 half of the updates left
    their page, at 40 one of fourteen; the table is no larger) and few indexes."""
    op.execute(UP)


def downgrade() -> None:
    """Drop it: every demand is forgotten."""
    op.execute("DROP TABLE allocator.demand")
