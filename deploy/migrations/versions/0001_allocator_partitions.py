"""The state partitions: fence, batches, outbox, high-water marks, dead letters, and what is remembered of the world.

Revision 0001, the first.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UP = """
CREATE SCHEMA platform;
CREATE SCHEMA allocator;

CREATE TABLE platform.world (
    name text PRIMARY KEY,
    value text NOT NULL,
    remembered_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE platform.world IS 'Kafka cluster id and partition counts as at the first start: they are part of the data model';

CREATE TABLE allocator.state_partition (
    side text NOT NULL,
    number integer NOT NULL,
    incarnation integer NOT NULL DEFAULT 1,
    epoch bigint NOT NULL DEFAULT 0,
    owner text NOT NULL DEFAULT '',
    owner_backend integer,
    batch_no bigint NOT NULL DEFAULT 0,
    logical_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    positions jsonb NOT NULL DEFAULT '{}',
    out_sequence bigint NOT NULL DEFAULT 0,
    published_sequence bigint NOT NULL DEFAULT 0,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT state_partition_pkey PRIMARY KEY (side, number),
    CONSTRAINT state_partition_side_known CHECK (side IN ('stock', 'demand')),
    CONSTRAINT state_partition_published_within_out CHECK (published_sequence <= out_sequence)
) WITH (fillfactor = 50);

CREATE TABLE allocator.batch (
    side text NOT NULL,
    number integer NOT NULL,
    batch_no bigint NOT NULL,
    epoch bigint NOT NULL,
    token uuid NOT NULL,
    logical_time timestamptz NOT NULL,
    offsets jsonb NOT NULL,
    first_sequence bigint NOT NULL,
    last_sequence bigint NOT NULL,
    rules_hash text NOT NULL,
    code_version text NOT NULL,
    CONSTRAINT batch_pkey PRIMARY KEY (side, number, batch_no)
);
COMMENT ON TABLE allocator.batch IS 'One row per batch: its cut of every input, so that replay of the log gives the same events';

CREATE TABLE allocator.outbox (
    side text NOT NULL,
    number integer NOT NULL,
    first_sequence bigint NOT NULL,
    last_sequence bigint NOT NULL,
    batch_no bigint NOT NULL,
    topic text NOT NULL,
    destination integer NOT NULL,
    records bytea NOT NULL,
    CONSTRAINT outbox_pkey PRIMARY KEY (side, number, first_sequence),
    CONSTRAINT outbox_range_in_order CHECK (first_sequence <= last_sequence)
);
ALTER TABLE allocator.outbox ALTER COLUMN records SET STORAGE EXTERNAL;

CREATE TABLE allocator.high_water_mark (
    side text NOT NULL,
    number integer NOT NULL,
    topic text NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT high_water_mark_pkey PRIMARY KEY (side, number, topic, source)
) WITH (fillfactor = 50);

CREATE TABLE allocator.dead_letter (
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
);
"""


def upgrade() -> None:
    """Make schemas and tables."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP SCHEMA allocator CASCADE; DROP SCHEMA platform CASCADE")
