"""The allocator's stock side: stock records, movements, reservations, waiting queues, batons.

Revision 0002, after 0001.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RECORDS = """
CREATE TABLE allocator.stock_record (
    merchant text NOT NULL,
    sku text NOT NULL,
    record integer NOT NULL,
    partition integer NOT NULL,
    warehouse text NOT NULL,
    bin text NOT NULL,
    lot text,
    label text,
    expires_on date,
    received_at timestamptz NOT NULL,
    on_hand bigint NOT NULL,
    held bigint NOT NULL,
    backed bigint NOT NULL,
    flagged bigint NOT NULL,
    version bigint NOT NULL,
    expired boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    allocated bigint GENERATED ALWAYS AS (backed + flagged) STORED,
    available bigint GENERATED ALWAYS AS (on_hand - held - backed - flagged) STORED,
    CONSTRAINT stock_record_pkey PRIMARY KEY (merchant, sku, record),
    CONSTRAINT stock_record_identity UNIQUE NULLS NOT DISTINCT (merchant, sku, warehouse, bin, lot, label),
    CONSTRAINT stock_record_not_below_zero CHECK (on_hand >= 0 AND held >= 0 AND backed >= 0 AND flagged >= 0 AND version >= 1),
    CONSTRAINT stock_record_not_oversold CHECK (backed <= greatest(on_hand - held, 0)),
    CONSTRAINT stock_record_numbered_from_one CHECK (record >= 1)
) WITH (fillfactor = 50);
COMMENT ON TABLE allocator.stock_record IS 'What lies where: on hand, held, allocated = backed + flagged. One writer per SKU';
COMMENT ON COLUMN allocator.stock_record.flagged IS 'Reserved units that fell from this record and have no stock behind them';
COMMENT ON COLUMN allocator.stock_record.expired IS 'The end of its lot has been acted on';

CREATE INDEX stock_record_lots ON allocator.stock_record (partition, expires_on) WHERE expires_on IS NOT NULL AND NOT expired;
"""

QUEUES = """
CREATE TABLE allocator.sku_queue (
    merchant text NOT NULL,
    sku text NOT NULL,
    partition integer NOT NULL,
    waiting_count integer NOT NULL,
    wake_window integer NOT NULL,
    baton_seq bigint NOT NULL,
    continue_at timestamptz,
    CONSTRAINT sku_queue_pkey PRIMARY KEY (merchant, sku),
    CONSTRAINT sku_queue_not_below_zero CHECK (waiting_count >= 0 AND wake_window >= 1 AND baton_seq >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE allocator.sku_queue IS 'How many reservations wait for a SKU, how many may be awake at once, and whether serving goes on';

CREATE INDEX sku_queue_continuations ON allocator.sku_queue (partition) WHERE continue_at IS NOT NULL;

CREATE TABLE allocator.baton (
    merchant text NOT NULL,
    sku text NOT NULL,
    demand text NOT NULL,
    alternative text NOT NULL,
    partition integer NOT NULL,
    baton bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    expired boolean NOT NULL,
    CONSTRAINT baton_pkey PRIMARY KEY (merchant, sku, demand, alternative)
);
COMMENT ON TABLE allocator.baton IS 'Waiters that were woken and have not answered';

CREATE INDEX baton_deadlines ON allocator.baton (partition) WHERE NOT expired;

CREATE TABLE allocator.levels_told (
    partition integer NOT NULL,
    told_at timestamptz NOT NULL,
    CONSTRAINT levels_told_pkey PRIMARY KEY (partition)
);
COMMENT ON TABLE allocator.levels_told IS 'When a state partition last announced stock levels: what changed later is still to be told';
"""

RESERVATIONS = """
CREATE TABLE allocator.reservation (
    demand text NOT NULL,
    sku text NOT NULL,
    alternative text NOT NULL,
    merchant text NOT NULL,
    attempt bigint NOT NULL,
    version bigint NOT NULL,
    reserved_units bigint NOT NULL,
    flagged_units bigint NOT NULL,
    waiting_units bigint NOT NULL,
    consumed_units bigint NOT NULL,
    pending boolean NOT NULL,
    mark bigint,
    fill text NOT NULL,
    strategy text NOT NULL,
    priority integer NOT NULL,
    demanded_at timestamptz NOT NULL,
    warehouses text[] NOT NULL,
    piece_records integer[] NOT NULL,
    piece_units bigint[] NOT NULL,
    piece_flags bigint[],
    created_at timestamptz NOT NULL,
    empty_since timestamptz,
    live boolean GENERATED ALWAYS AS (reserved_units > 0 OR waiting_units > 0) STORED,
    CONSTRAINT reservation_pkey PRIMARY KEY (demand, sku, alternative),
    CONSTRAINT reservation_not_below_zero CHECK (
        attempt >= 1 AND version >= 0 AND reserved_units >= 0 AND flagged_units >= 0 AND waiting_units >= 0 AND consumed_units >= 0
    ),
    CONSTRAINT reservation_flagged_within_reserved CHECK (flagged_units <= reserved_units),
    CONSTRAINT reservation_pieces_match CHECK (
        cardinality(piece_records) = cardinality(piece_units)
        AND (piece_flags IS NULL OR cardinality(piece_flags) = cardinality(piece_records))
    ),
    CONSTRAINT reservation_empty_since_it_ended CHECK ((empty_since IS NULL) = (reserved_units > 0 OR waiting_units > 0)),
    CONSTRAINT reservation_of_its_merchant CHECK (split_part(demand, '/', 2) = merchant),
    CONSTRAINT reservation_fill_known CHECK (fill IN ('partial', 'whole_lines', 'all_or_nothing')),
    CONSTRAINT reservation_strategy_known CHECK (strategy IN ('fefo', 'fifo', 'lifo', 'fewest_records'))
) WITH (fillfactor = 80);
COMMENT ON TABLE allocator.reservation IS
    'One row per (demand, SKU, alternative): reservation, place in the queue, highest attempt and its result, tombstone';
COMMENT ON COLUMN allocator.reservation.piece_units IS 'Units backed on each of piece_records';
COMMENT ON COLUMN allocator.reservation.piece_flags IS 'Units that lost their backing on each of piece_records; null: none';
COMMENT ON COLUMN allocator.reservation.empty_since IS 'Since when it holds and waits for nothing: the tombstone''s age';

CREATE INDEX reservation_live ON allocator.reservation (merchant, sku) WHERE live;
"""

MOVEMENTS = """
CREATE TABLE allocator.movement (
    merchant text NOT NULL,
    sku text NOT NULL,
    origin text NOT NULL,
    command_id text NOT NULL,
    part integer NOT NULL,
    digest text NOT NULL,
    kind text NOT NULL,
    record integer,
    refusal text,
    field text NOT NULL,
    remedy text NOT NULL,
    reason text NOT NULL,
    cause text NOT NULL,
    change bigint NOT NULL,
    on_hand_before bigint NOT NULL,
    on_hand_after bigint NOT NULL,
    record_version bigint NOT NULL,
    ledger_version bigint NOT NULL,
    moved_at timestamptz NOT NULL,
    CONSTRAINT movement_pkey PRIMARY KEY (merchant, sku, origin, command_id, part),
    CONSTRAINT movement_origin_known CHECK (origin IN ('inventory', 'reservations')),
    CONSTRAINT movement_kind_known CHECK (kind IN ('receive', 'adjust', 'consume')),
    CONSTRAINT movement_refusal_known CHECK (refusal IN ('below_zero', 'no_such_record', 'zero_change', 'too_many_units')),
    CONSTRAINT movement_posted_or_refused CHECK ((record IS NULL) = (refusal IS NOT NULL)),
    CONSTRAINT movement_adds_up CHECK (on_hand_after = on_hand_before + change AND on_hand_after >= 0)
);
COMMENT ON TABLE allocator.movement IS 'Every change of what is on hand, and every refused one: the memory of stock commands';

CREATE INDEX movement_of_record ON allocator.movement (merchant, sku, record, record_version) WHERE refusal IS NULL;
"""


def upgrade() -> None:
    """Make the tables. Rows of the hot path are updated in place: no index on what changes, and room left in their pages."""
    for statements in (RECORDS, QUEUES, RESERVATIONS, MOVEMENTS):
        op.execute(statements)


def downgrade() -> None:
    """Drop them: all stock is forgotten."""
    for table in ("movement", "reservation", "levels_told", "baton", "sku_queue", "stock_record"):
        op.execute(f"DROP TABLE allocator.{table}")
