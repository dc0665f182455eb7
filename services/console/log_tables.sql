-- What `earmark verify --from-log` has read of the topics, for as long as its connection lasts. Filled by COPY, without an index. Only what
-- counts is in it: outputs that were committed when the snapshot was taken, inputs that were applied by then.

CREATE TEMPORARY TABLE log_snapshot (forgotten_ms bigint NOT NULL);
COMMENT ON COLUMN log_snapshot.forgotten_ms IS 'What ended before may have been forgotten since, and what was put aside and settled, too';

CREATE TEMPORARY TABLE log_topic (topic smallint NOT NULL, name text NOT NULL);

CREATE TEMPORARY TABLE log_partition (
    topic smallint NOT NULL,
    partition smallint NOT NULL,
    begins bigint NOT NULL,
    ends bigint NOT NULL,
    records bigint NOT NULL,
    cut_at timestamptz
);
COMMENT ON COLUMN log_partition.cut_at IS 'Records from before may have been deleted; null: none was';

CREATE TEMPORARY TABLE log_source (
    source smallint NOT NULL,
    side text NOT NULL,
    number integer NOT NULL,
    out_sequence bigint NOT NULL,
    given bigint NOT NULL,
    highest bigint NOT NULL,
    reached bigint NOT NULL
);
COMMENT ON COLUMN log_source.given IS 'The last number that Postgres had given when the ends of the topics were known';
COMMENT ON COLUMN log_source.highest IS 'The highest number that was read';
COMMENT ON COLUMN log_source.reached IS 'The highest number that was read of those which the snapshot knows';

CREATE TEMPORARY TABLE log_record (
    record_offset bigint,
    sequence bigint NOT NULL,
    digest bigint NOT NULL,
    said_ms bigint NOT NULL,
    source smallint NOT NULL,
    topic smallint NOT NULL,
    partition smallint NOT NULL
);
COMMENT ON TABLE log_record IS 'Everything that state partitions said. Without an offset: from the outbox, not published for sure yet';

CREATE TEMPORARY TABLE log_other () INHERITS (log_record);
CREATE TEMPORARY TABLE log_allocation (
    demand text NOT NULL,
    version bigint NOT NULL,
    demand_version bigint NOT NULL,
    outcome text NOT NULL,
    lines text NOT NULL
) INHERITS (log_record);
CREATE TEMPORARY TABLE log_movement (
    merchant text NOT NULL,
    sku text NOT NULL,
    command_id text NOT NULL,
    kind text,
    refusal text,
    record integer,
    change bigint,
    on_hand_before bigint,
    on_hand_after bigint,
    record_version bigint,
    ledger_version bigint
) INHERITS (log_record);
CREATE TEMPORARY TABLE log_level (
    merchant text NOT NULL,
    sku text NOT NULL,
    ledger_version bigint NOT NULL,
    levels text NOT NULL
) INHERITS (log_record);

CREATE TEMPORARY TABLE log_order (
    record_offset bigint NOT NULL,
    said_ms bigint NOT NULL,
    partition smallint NOT NULL,
    demand text,
    version bigint,
    wish text,
    lines text
);
CREATE TEMPORARY TABLE log_command (
    record_offset bigint NOT NULL,
    said_ms bigint NOT NULL,
    partition smallint NOT NULL,
    merchant text NOT NULL,
    sku text NOT NULL,
    command_id text NOT NULL,
    kind text NOT NULL,
    change bigint NOT NULL
);

CREATE TEMPORARY TABLE log_unread (
    record_offset bigint NOT NULL,
    said_ms bigint NOT NULL,
    topic smallint NOT NULL,
    partition smallint NOT NULL,
    why text NOT NULL
);
