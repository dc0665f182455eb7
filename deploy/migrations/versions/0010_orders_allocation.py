"""What the allocator said of an order moves into a row of its own: an answer wrote the order's row, with five indexes, and every line.

Revision 0010, after 0009. Nothing was released before it, so that no older version runs beside it: the columns go at once.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE orders.allocation (
    merchant text NOT NULL,
    number text NOT NULL,
    status text NOT NULL,
    version bigint NOT NULL,
    demand_version bigint NOT NULL,
    picking text NOT NULL,
    lines text NOT NULL,
    CONSTRAINT allocation_pkey PRIMARY KEY (merchant, number),
    CONSTRAINT allocation_status_known CHECK (
        status IN ('unallocated', 'allocated', 'partially_allocated', 'could_not_allocate', 'overallocated')),
    CONSTRAINT allocation_version_above_zero CHECK (version > 0)
) WITH (fillfactor = 80);
COMMENT ON TABLE orders.allocation IS 'The newest answer of the allocator about an order; none before the first';
COMMENT ON COLUMN orders.allocation.version IS 'Of the answer: the highest is kept';
COMMENT ON COLUMN orders.allocation.demand_version IS 'The version of the order that it answers';
COMMENT ON COLUMN orders.allocation.lines IS 'JSON, as the answer had it. As text: json is parsed by the server at every write, '
    'which costs half of an insert again';

INSERT INTO orders.allocation (merchant, number, status, version, demand_version, picking, lines)
SELECT o.merchant, o.number, o.allocation_status, o.allocation_version, o.allocation_demand_version, o.picking, coalesce(l.lines, '[]')
  FROM orders.sales_order o
  LEFT JOIN (SELECT merchant, number,
                    jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                        'sku', sku, 'wanted_units', units, 'reserved_units', reserved_units, 'flagged_units', flagged_units,
                        'waiting_units', waiting_units, 'consumed_units', consumed_units, 'pieces', pieces, 'shortage', shortage))
                        ORDER BY position)::text AS lines
               FROM orders.line GROUP BY merchant, number) AS l USING (merchant, number)
 WHERE o.allocation_version > 0;

CREATE INDEX allocation_by_status ON orders.allocation (merchant, status);

DROP INDEX orders.sales_order_awaiting;
ALTER TABLE orders.sales_order
    DROP COLUMN allocation_status, DROP COLUMN allocation_version, DROP COLUMN allocation_demand_version, DROP COLUMN picking;
ALTER TABLE orders.sales_order RENAME COLUMN pending_step TO asked_step;
ALTER TABLE orders.sales_order RENAME COLUMN pending_version TO asked_version;
ALTER TABLE orders.sales_order RENAME CONSTRAINT sales_order_pending_whole TO sales_order_asked_whole;
COMMENT ON COLUMN orders.sales_order.asked_step IS 'Last asked of the allocator, as of asked_version; orders.allocation tells whether it '
    'has been answered';
CREATE INDEX sales_order_awaiting ON orders.sales_order (merchant, demanded_at, number) WHERE status = 'awaiting_fulfillment';

ALTER TABLE orders.line
    DROP COLUMN reserved_units, DROP COLUMN flagged_units, DROP COLUMN waiting_units, DROP COLUMN consumed_units,
    DROP COLUMN pieces, DROP COLUMN shortage;
"""

DOWNGRADE = """
ALTER TABLE orders.sales_order RENAME COLUMN asked_step TO pending_step;
ALTER TABLE orders.sales_order RENAME COLUMN asked_version TO pending_version;
ALTER TABLE orders.sales_order RENAME CONSTRAINT sales_order_asked_whole TO sales_order_pending_whole;
ALTER TABLE orders.sales_order
    ADD COLUMN allocation_status text NOT NULL DEFAULT 'unallocated',
    ADD COLUMN allocation_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN allocation_demand_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN picking text NOT NULL DEFAULT 'none',
    ADD CONSTRAINT sales_order_allocation_status_known CHECK (
        allocation_status IN ('unallocated', 'allocated', 'partially_allocated', 'could_not_allocate', 'overallocated'));
ALTER TABLE orders.line
    ADD COLUMN reserved_units bigint NOT NULL DEFAULT 0,
    ADD COLUMN flagged_units bigint NOT NULL DEFAULT 0,
    ADD COLUMN waiting_units bigint NOT NULL DEFAULT 0,
    ADD COLUMN consumed_units bigint NOT NULL DEFAULT 0,
    ADD COLUMN pieces jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN shortage jsonb,
    ADD CONSTRAINT line_flagged_within_reserved CHECK (flagged_units BETWEEN 0 AND reserved_units);

UPDATE orders.sales_order o
   SET allocation_status = a.status, allocation_version = a.version, allocation_demand_version = a.demand_version, picking = a.picking,
       pending_step = CASE WHEN is_answered THEN NULL ELSE pending_step END,
       pending_version = CASE WHEN is_answered THEN NULL ELSE pending_version END
  FROM (SELECT s.merchant, s.number, t.status, t.version, t.demand_version, t.picking,
               s.pending_version <= t.demand_version
               AND (s.pending_step = 'allocation' OR s.pending_step = 'release' AND t.status = 'unallocated') AS is_answered
          FROM orders.sales_order s JOIN orders.allocation t USING (merchant, number)) AS a
 WHERE o.merchant = a.merchant AND o.number = a.number;
UPDATE orders.line l
   SET reserved_units = t.reserved_units, flagged_units = t.flagged_units, waiting_units = t.waiting_units,
       consumed_units = t.consumed_units, pieces = coalesce(t.pieces, '[]'), shortage = t.shortage
  FROM orders.allocation a, jsonb_to_recordset(a.lines::jsonb) AS t (sku text, reserved_units bigint, flagged_units bigint,
       waiting_units bigint, consumed_units bigint, pieces jsonb, shortage jsonb)
 WHERE l.merchant = a.merchant AND l.number = a.number AND l.sku = t.sku;

DROP INDEX orders.sales_order_awaiting;
CREATE INDEX sales_order_awaiting ON orders.sales_order (merchant, allocation_status, demanded_at, number)
    WHERE status = 'awaiting_fulfillment';
DROP TABLE orders.allocation;
"""


def upgrade() -> None:
    """Make the table, carry over what is known, drop the columns."""
    op.execute(UPGRADE)


def downgrade() -> None:
    """Put the columns back, and what is known into them."""
    op.execute(DOWNGRADE)
