"""Sales orders: the orders, their lines and history, the counters of their numbers, bulk runs, dead letters.

Revision 0005, after 0004.
"""

from alembic import op

from shared.platform_tables import create_platform_tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ORDERS = """
CREATE TABLE orders.sales_order (
    merchant text NOT NULL,
    number text NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL,
    wish text NOT NULL,
    pending_step text,
    pending_version bigint,
    allocation_status text NOT NULL,
    allocation_version bigint NOT NULL DEFAULT 0,
    allocation_demand_version bigint NOT NULL DEFAULT 0,
    picking text NOT NULL DEFAULT 'none',
    refusal text,
    demanded_at timestamptz NOT NULL,
    priority integer NOT NULL,
    fill text,
    strategy text,
    warehouses jsonb NOT NULL,
    channel text NOT NULL,
    country text NOT NULL,
    receiver text NOT NULL,
    tags jsonb NOT NULL,
    value_minor_units bigint,
    currency text NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    canceled_at timestamptz,
    canceled_by text,
    cancellation_reason text,
    split_from text,
    channel_version bigint,
    digest text NOT NULL,
    CONSTRAINT sales_order_pkey PRIMARY KEY (merchant, number),
    CONSTRAINT sales_order_status_known CHECK (status IN ('awaiting_fulfillment', 'processing', 'shipped', 'dropshipped', 'canceled')),
    CONSTRAINT sales_order_allocation_status_known CHECK (
        allocation_status IN ('unallocated', 'allocated', 'partially_allocated', 'could_not_allocate', 'overallocated')),
    CONSTRAINT sales_order_pending_whole CHECK ((pending_step IS NULL) = (pending_version IS NULL)),
    CONSTRAINT sales_order_canceled_leaves_a_record CHECK ((status = 'canceled') = (canceled_at IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON COLUMN orders.sales_order.status IS 'What was done with the order: the first axis';
COMMENT ON COLUMN orders.sales_order.allocation_status IS 'What stock it has, as the allocator last said: the second axis';
COMMENT ON COLUMN orders.sales_order.pending_step IS 'Asked of the allocator and not answered yet, as of pending_version';
COMMENT ON COLUMN orders.sales_order.channel_version IS 'Version of the order at the sales channel that sent it over Kafka';
COMMENT ON COLUMN orders.sales_order.digest IS 'SHA-256 of what the caller gave: a repeat is told from other content';

CREATE INDEX sales_order_by_demand ON orders.sales_order (merchant, demanded_at, number);
CREATE INDEX sales_order_by_creation ON orders.sales_order (merchant, created_at, number);
CREATE INDEX sales_order_by_place ON orders.sales_order (merchant, priority, demanded_at, number);
CREATE INDEX sales_order_awaiting ON orders.sales_order (merchant, allocation_status, demanded_at, number)
    WHERE status = 'awaiting_fulfillment';

-- No foreign key to the order: lines and history are written in the order's own statement, and orders are never deleted.
CREATE TABLE orders.line (
    merchant text NOT NULL,
    number text NOT NULL,
    sku text NOT NULL,
    position integer NOT NULL,
    units bigint NOT NULL,
    warehouses jsonb NOT NULL,
    reserved_units bigint NOT NULL DEFAULT 0,
    flagged_units bigint NOT NULL DEFAULT 0,
    waiting_units bigint NOT NULL DEFAULT 0,
    consumed_units bigint NOT NULL DEFAULT 0,
    pieces jsonb NOT NULL DEFAULT '[]',
    shortage jsonb,
    CONSTRAINT line_pkey PRIMARY KEY (merchant, number, sku),
    CONSTRAINT line_units_above_zero CHECK (units > 0),
    CONSTRAINT line_flagged_within_reserved CHECK (flagged_units BETWEEN 0 AND reserved_units)
) WITH (fillfactor = 80);
CREATE INDEX line_by_sku ON orders.line (merchant, sku, number);

CREATE TABLE orders.history (
    merchant text NOT NULL,
    number text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    happening text NOT NULL,
    version bigint NOT NULL,
    at timestamptz NOT NULL,
    by text NOT NULL,
    details jsonb NOT NULL,
    CONSTRAINT history_pkey PRIMARY KEY (merchant, number, id)
);

CREATE TABLE orders.number_counter (
    merchant text NOT NULL,
    month text NOT NULL,
    last bigint NOT NULL,
    CONSTRAINT number_counter_pkey PRIMARY KEY (merchant, month)
) WITH (fillfactor = 50);

CREATE TABLE orders.allocation_run (
    merchant text NOT NULL,
    id text NOT NULL,
    version bigint NOT NULL,
    action text NOT NULL,
    total integer NOT NULL,
    ended integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    ended_at timestamptz,
    CONSTRAINT allocation_run_pkey PRIMARY KEY (id),
    CONSTRAINT allocation_run_action_known CHECK (action IN ('allocate', 'deallocate')),
    CONSTRAINT allocation_run_counts CHECK (ended + refused <= total)
);
CREATE INDEX allocation_run_by_merchant ON orders.allocation_run (merchant, created_at DESC, id);

CREATE TABLE orders.allocation_run_order (
    run text NOT NULL,
    position integer NOT NULL,
    merchant text NOT NULL,
    number text NOT NULL,
    state text NOT NULL,
    waits_for integer NOT NULL,
    releases integer[] NOT NULL,
    result text NOT NULL DEFAULT '',
    detail text NOT NULL DEFAULT '',
    CONSTRAINT allocation_run_order_pkey PRIMARY KEY (run, position),
    CONSTRAINT allocation_run_order_state_known CHECK (state IN ('waiting', 'started', 'ended', 'refused')),
    CONSTRAINT allocation_run_order_waits CHECK (waits_for >= 0)
) WITH (fillfactor = 70);
COMMENT ON COLUMN orders.allocation_run_order.waits_for IS 'Earlier orders of the run that share a SKU with '
    'it and have not ended; it starts at 0';
COMMENT ON COLUMN orders.allocation_run_order.releases IS 'Positions of the later orders that wait for this one';
CREATE INDEX allocation_run_order_ready ON orders.allocation_run_order (run, position) WHERE state = 'waiting' AND waits_for = 0;
CREATE INDEX allocation_run_order_started ON orders.allocation_run_order (merchant, number) WHERE state = 'started';

CREATE TABLE orders.dead_letter (
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    written_at timestamptz NOT NULL,
    key bytea,
    value bytea,
    headers jsonb NOT NULL,
    merchant text,
    field text NOT NULL,
    reason text NOT NULL,
    status text NOT NULL DEFAULT 'waiting',
    found_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    settled_by text,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (topic, partition, record_offset),
    CONSTRAINT dead_letter_status_known CHECK (status IN ('waiting', 'replayed', 'discarded'))
);
CREATE INDEX dead_letter_by_merchant ON orders.dead_letter (merchant, found_at, topic, partition, record_offset);
"""


def upgrade() -> None:
    """Make the schema and its tables."""
    create_platform_tables("orders")
    op.execute(ORDERS)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP SCHEMA orders CASCADE")
