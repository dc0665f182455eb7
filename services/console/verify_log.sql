-- The checks of `earmark verify --from-log`, written as those of verify.sql, over the rows that log_ledger.sql holds and what log_tables.sql
-- holds of the topics.
-- What is no longer kept is not missing: topics lose what is old (log_partition.cut_at), ended demands and settled dead letters are
-- forgotten (log_snapshot.forgotten_ms). First, once everything is read, where the numbers of a source do not follow one another.

ANALYZE log_allocation, log_movement, log_level, log_other, log_order, log_command, ledger_batch, ledger_reservation, ledger_stock_record,
        ledger_movement;

CREATE TEMPORARY TABLE log_seam AS
SELECT source, previous, sequence, topic, partition, record_offset, same
  FROM (SELECT source, sequence, topic, partition, record_offset, lag(sequence) OVER w AS previous,
               (lag(digest) OVER w, lag(topic) OVER w, lag(partition) OVER w) = (digest, topic, partition) AS same
          FROM log_record WINDOW w AS (PARTITION BY source ORDER BY sequence)) AS ordered
 WHERE previous IS NULL OR sequence <> previous + 1;

-- Stock levels are the last that a batch tells, and the older ones of a SKU are compacted: those may lack at the end of a batch.
CREATE TEMPORARY TABLE log_gap AS
WITH cut AS (
    SELECT max(cut_at) AS at FROM log_partition JOIN log_topic USING (topic)
     WHERE name IN ('earmark.allocations', 'earmark.movements', 'earmark.reservations', 'earmark.outcomes', 'earmark.dead-letters')),
kept AS (
    SELECT s.*, CASE WHEN cut.at IS NULL THEN 1 ELSE coalesce(b.first_sequence, s.out_sequence + 1) END AS first
      FROM log_source s CROSS JOIN cut
      LEFT JOIN LATERAL (SELECT min(first_sequence) AS first_sequence FROM ledger_batch b
                          WHERE (b.side, b.number) = (s.side, s.number) AND b.logical_time > cut.at) AS b ON true),
gap AS (
    SELECT source, greatest(coalesce(previous, 0) + 1, first) AS lacks_from, sequence - 1 AS lacks_to, sequence AS next, topic
      FROM log_seam JOIN kept USING (source)
     UNION ALL
    SELECT source, greatest(reached + 1, first), out_sequence, NULL, NULL FROM kept)
SELECT side, number, lacks_from, lacks_to,
       side = 'stock' AND (next IS NULL OR t.name = 'earmark.stock-levels' OR EXISTS (
           SELECT FROM ledger_batch b WHERE (b.side, b.number, b.first_sequence) = (s.side, s.number, gap.next))) AS may_be_compacted
  FROM gap JOIN log_source s USING (source) LEFT JOIN log_topic t USING (topic)
 WHERE lacks_from <= lacks_to;

-- A demand's JSON is read once for all checks. Of one whose attempt is under way (is_open) nothing new is told before it has ended.
CREATE TEMPORARY TABLE log_demand AS
SELECT d.demand, d.partition, d.status, d.version, d.attempt, t.lines, t.seen, t.picking, coalesce(t.alternative, '') AS alternative,
       coalesce(t.told_version, 0) AS told_version,
       d.status IN ('trying', 'forgetting')
       OR d.status <> 'consumed' AND (t.releasing IS NOT NULL OR t.picking IS NOT DISTINCT FROM 'consuming' AND t.refusals::text = '{}')
       AS is_open
  FROM ledger_demand d
 CROSS JOIN LATERAL json_to_record(d.state::json) AS t
       (lines jsonb, seen jsonb, alternative text, releasing json, picking text, refusals json, told_version bigint);
ANALYZE log_demand;

-- ============================================================ what state partitions said

-- check: every record in the topics can be read, or was put aside as a dead letter
SELECT sum(records)::bigint FROM log_partition;
SELECT t.name AS topic, u.partition, u.record_offset, u.why
  FROM log_unread u JOIN log_topic t USING (topic) CROSS JOIN log_snapshot s
 WHERE NOT EXISTS (SELECT FROM ledger_dead_letter d WHERE (d.topic, d.partition, d.record_offset) = (t.name, u.partition, u.record_offset))
   AND (t.name NOT IN ('earmark.orders', 'earmark.inventory') OR u.said_ms > s.forgotten_ms);

-- check: no record has a number that its state partition never gave
SELECT count(*) FROM log_record;
SELECT side, number, highest, given FROM log_source WHERE highest > given;

-- check: the numbers of every state partition have no hole in the topics
SELECT count(*) FROM log_record;
SELECT side, number, lacks_from, lacks_to FROM log_gap WHERE NOT may_be_compacted;

-- check: no more stock levels lack than were compacted
SELECT count(*) FROM log_level;
SELECT number, g.lacking, p.ends - p.records AS compacted
  FROM (SELECT number, sum(lacks_to - lacks_from + 1) AS lacking FROM log_gap WHERE may_be_compacted GROUP BY 1) g
  JOIN log_partition p ON p.partition = g.number
  JOIN log_topic t ON t.topic = p.topic AND t.name = 'earmark.stock-levels'
 WHERE g.lacking > p.ends - p.records;

-- check: what was published twice says the same, in the same place
SELECT count(*) FROM log_seam WHERE sequence = previous;
SELECT s.side, s.number, m.sequence, t.name AS topic, m.partition, m.record_offset
  FROM log_seam m JOIN log_source s USING (source) JOIN log_topic t USING (topic)
 WHERE m.sequence = m.previous AND NOT m.same;

-- ============================================================ movements

-- check: every movement that was told stands in the ledger as it was told
SELECT count(*) FROM log_movement;
SELECT t.merchant, t.sku, t.command_id, t.kind, t.refusal, t.change, m.change AS moved, t.on_hand_before, m.on_hand_before AS moved_before,
       t.on_hand_after, m.on_hand_after AS moved_after, t.record_version, m.record_version AS moved_version, m.refusal AS moved_refusal
  FROM (SELECT *, CASE kind WHEN 'consume' THEN 'reservations' ELSE 'inventory' END AS origin,
               CASE kind WHEN 'consume' THEN record ELSE 0 END AS part FROM log_movement) AS t
  LEFT JOIN ledger_movement m USING (merchant, sku, origin, command_id, part)
 WHERE m.kind IS NULL
    OR t.refusal IS DISTINCT FROM m.refusal AND t.refusal IS DISTINCT FROM 'other_content'
    OR t.refusal IS NULL AND (t.kind, t.record, t.change, t.on_hand_before, t.on_hand_after, t.record_version, t.ledger_version)
                          <> (m.kind, m.record, m.change, m.on_hand_before, m.on_hand_after, m.record_version, m.ledger_version);

-- check: every movement of the ledger was told
SELECT count(*) FROM ledger_movement WHERE kind <> 'release';
WITH kept AS (
    SELECT coalesce(max(cut_at), '-infinity') AS since FROM log_partition JOIN log_topic USING (topic) WHERE name = 'earmark.movements')
SELECT m.merchant, m.sku, m.command_id, m.part, m.kind, m.change, m.refusal, m.moved_at
  FROM ledger_movement m
 WHERE m.kind <> 'release' AND m.moved_at > (SELECT since FROM kept)
   AND NOT EXISTS (SELECT FROM log_movement t
                    WHERE (t.merchant, t.sku, t.command_id) = (m.merchant, m.sku, m.command_id)
                      AND (t.kind IS NULL AND t.refusal = m.refusal OR t.kind = m.kind AND t.record = m.record));

-- ============================================================ stock commands

-- check: every stock command that was read has one answer
SELECT count(*) FROM log_command;
SELECT c.partition, c.record_offset, c.merchant, c.sku, c.command_id, c.kind, c.change
  FROM log_command c CROSS JOIN log_snapshot s
  LEFT JOIN ledger_movement m
       ON (m.merchant, m.sku, m.origin, m.command_id, m.part) = (c.merchant, c.sku, 'inventory', c.command_id, 0)
 WHERE m.command_id IS NULL AND c.said_ms > s.forgotten_ms
   AND NOT EXISTS (SELECT FROM ledger_dead_letter d
                    WHERE (d.topic, d.partition, d.record_offset) = ('earmark.inventory', c.partition, c.record_offset));

-- check: no stock moved without a command that explains it
SELECT count(*) FROM ledger_movement WHERE origin = 'inventory';
WITH kept AS (
    SELECT coalesce(max(b.logical_time), '-infinity') AS since
      FROM log_partition p JOIN log_topic t ON t.topic = p.topic AND t.name = 'earmark.inventory'
      JOIN ledger_batch b ON b.side = 'stock' AND b.number = p.partition AND (b.offsets -> 'earmark.inventory' ->> 0)::bigint < p.begins)
SELECT m.merchant, m.sku, m.command_id, m.kind, m.change, m.refusal, m.moved_at
  FROM ledger_movement m
 WHERE m.origin = 'inventory' AND m.moved_at > (SELECT since FROM kept)
   AND NOT EXISTS (SELECT FROM log_command c
                    WHERE (c.merchant, c.sku, c.command_id, c.kind) = (m.merchant, m.sku, m.command_id, m.kind)
                      AND (m.refusal IS NOT NULL OR c.change = m.change));

-- ============================================================ orders and what was answered

-- check: every demand stands at the newest version that was said of it
SELECT count(*) FROM log_order;
WITH said AS (
    SELECT DISTINCT ON (demand) demand, version, wish, partition, said_ms, min(said_ms) OVER (PARTITION BY demand) AS first_ms
      FROM log_order o
     WHERE demand IS NOT NULL
       AND NOT EXISTS (SELECT FROM ledger_dead_letter d
                        WHERE (d.topic, d.partition, d.record_offset) = ('earmark.orders', o.partition, o.record_offset))
     ORDER BY demand, version DESC)
SELECT demand, o.version AS said, o.wish, d.version AS known, d.status
  FROM said o LEFT JOIN log_demand d USING (demand) CROSS JOIN log_snapshot s
  JOIN log_partition p ON p.partition = o.partition
  JOIN log_topic t ON t.topic = p.topic AND t.name = 'earmark.orders'
 WHERE o.said_ms > s.forgotten_ms
   AND CASE WHEN d.demand IS NULL THEN o.wish NOT IN ('closed', 'consumption') OR p.cut_at IS NULL AND o.first_ms > s.forgotten_ms
            ELSE d.version < o.version OR d.version > o.version AND p.cut_at IS NULL END;

-- check: a demand wants the units that its order said
SELECT count(*) FROM log_order;
WITH said AS MATERIALIZED (
    SELECT DISTINCT ON (demand) demand, version, lines
      FROM log_order o
     WHERE demand IS NOT NULL
       AND NOT EXISTS (SELECT FROM ledger_dead_letter d
                        WHERE (d.topic, d.partition, d.record_offset) = ('earmark.orders', o.partition, o.record_offset))
     ORDER BY demand, version DESC, record_offset)
SELECT demand, version, z.said ->> 0 AS sku, z.said ->> 1 AS said, z.known ->> 0 AS known_sku, z.known ->> 1 AS known
  FROM said JOIN log_demand known USING (demand, version)
 CROSS JOIN LATERAL ROWS FROM (json_array_elements(said.lines::json), jsonb_array_elements(known.lines)) AS z (said, known)
 WHERE known.status NOT IN ('closed', 'consumed', 'forgetting') AND known.picking IS NULL
   AND (z.said ->> 0, z.said ->> 1) IS DISTINCT FROM (z.known ->> 0, z.known ->> 1);

-- check: the newest word on every demand is the one that it told last
SELECT count(*) FROM log_allocation;
WITH told AS (
    SELECT demand, max(version) AS version, max(said_ms) AS last_ms, min(said_ms) FILTER (WHERE outcome IN ('released', 'consumed')) AS ended_ms
      FROM log_allocation GROUP BY 1),
kept AS (
    SELECT partition, cut_at FROM log_partition JOIN log_topic USING (topic) WHERE name = 'earmark.allocations'),
cut AS (SELECT max(cut_at) AS at FROM kept)
SELECT demand, n.version AS told, d.told_version AS known, d.status
  FROM told n FULL JOIN log_demand d USING (demand) LEFT JOIN kept k ON k.partition = d.partition CROSS JOIN log_snapshot s
 WHERE CASE WHEN d.demand IS NULL
            THEN n.last_ms > s.forgotten_ms
                 AND (n.ended_ms IS NULL OR n.ended_ms > s.forgotten_ms AND (SELECT at FROM cut) IS NULL)
            WHEN n.demand IS NULL THEN d.told_version > 0 AND k.cut_at IS NULL
            ELSE n.version < d.told_version OR n.version > d.told_version AND n.last_ms > s.forgotten_ms END;

-- check: the newest word on every demand is, line by line, what it and its reservations have
SELECT count(*) FROM log_allocation;
WITH told AS MATERIALIZED (
    SELECT DISTINCT ON (demand) demand, version AS told_version, demand_version, outcome, lines
      FROM log_allocation ORDER BY demand, version DESC),
line AS MATERIALIZED (
    SELECT demand, told_version, demand_version, outcome, version, status, attempt, alternative, z.known ->> 0 AS sku,
           z.told ->> 0 AS told_sku, (z.told ->> 1)::bigint AS told_wanted, (z.known ->> 1)::bigint AS wanted,
           (z.told ->> 2)::bigint AS told_reserved, (z.told ->> 3)::bigint AS told_flagged, (z.told ->> 4)::bigint AS told_waiting,
           (z.told ->> 5)::bigint AS told_consumed
      FROM told JOIN log_demand known USING (demand, told_version)
     CROSS JOIN LATERAL ROWS FROM (json_array_elements(told.lines::json), jsonb_array_elements(known.lines)) AS z (told, known)
     WHERE NOT is_open),
seen AS MATERIALIZED (
    SELECT d.demand, one ->> 0 AS sku, one ->> 1 AS alternative, (one ->> 2)::bigint AS attempt, (one ->> 3)::bigint AS version,
           (one ->> 4)::bigint AS reserved, (one ->> 5)::bigint AS flagged, (one ->> 6)::bigint AS waiting, (one ->> 7)::bigint AS consumed,
           (one ->> 8)::boolean AS pending
      FROM log_demand d CROSS JOIN LATERAL jsonb_array_elements(d.seen) AS one WHERE NOT d.is_open),
both_sides AS (
    SELECT l.*, l.sku IS NOT NULL AND (s.demand IS NULL OR s.attempt <> l.attempt OR s.pending) AS open,
           (told_sku, told_wanted) IS DISTINCT FROM (l.sku, wanted)
           OR (told_reserved, told_flagged, told_waiting, told_consumed)
              <> (coalesce(s.reserved, 0), coalesce(s.flagged, 0), coalesce(s.waiting, 0), coalesce(s.consumed, 0))
           OR v.demand IS NOT NULL AND (told_reserved, told_flagged, told_waiting, told_consumed)
              <> (v.reserved_units, v.flagged_units, v.waiting_units, v.consumed_units) AS wrong,
           concat_ws(' ', coalesce(l.sku, told_sku), 'told', concat_ws('/', told_wanted, told_reserved, told_flagged, told_waiting, told_consumed),
                     'seen', concat_ws('/', wanted, s.reserved, s.flagged, s.waiting, s.consumed),
                     'reservation', concat_ws('/', v.reserved_units, v.flagged_units, v.waiting_units, v.consumed_units)) AS said
      FROM line l LEFT JOIN seen s USING (demand, sku, alternative)
      LEFT JOIN ledger_reservation v
           ON (v.demand, v.sku, v.alternative, v.attempt, v.version) = (l.demand, l.sku, l.alternative, s.attempt, s.version))
SELECT demand, told_version, demand_version, version, outcome, status, min(said) FILTER (WHERE wrong) AS line_and_units
  FROM both_sides
 GROUP BY demand, told_version, demand_version, version, outcome, status
HAVING NOT (status IN ('lines', 'allocated') AND bool_or(open))
   AND (demand_version <> version OR bool_or(wrong)
        OR outcome <> CASE WHEN status = 'consumed' OR status = 'closed' AND bool_and(told_consumed > 0) THEN 'consumed'
                           WHEN status IN ('released', 'closed') THEN 'released'
                           WHEN bool_or(told_flagged > 0) THEN 'overallocated'
                           WHEN sum(told_reserved + told_consumed) = 0 THEN 'could_not_allocate'
                           WHEN sum(told_reserved + told_consumed) >= sum(told_wanted) THEN 'allocated'
                           ELSE 'partially_allocated' END);

-- ============================================================ stock levels

-- check: the newest stock levels of every SKU are those of the ledger
SELECT count(*) FROM log_level;
WITH told AS MATERIALIZED (
    SELECT DISTINCT ON (merchant, sku) merchant, sku, ledger_version, levels FROM log_level
     ORDER BY merchant, sku, ledger_version DESC, sequence DESC),
level AS (
    SELECT merchant, sku, ledger_version, one ->> 0 AS warehouse, (one ->> 1)::bigint AS on_hand, (one ->> 2)::bigint AS held,
           (one ->> 3)::bigint AS allocated
      FROM told CROSS JOIN LATERAL json_array_elements(levels::json) AS one),
ledger AS (
    SELECT merchant, sku, 1 + sum(version) AS ledger_version, bool_and(changed_at <= told_at) IS TRUE AS is_told
      FROM ledger_stock_record LEFT JOIN ledger_levels_told USING (partition) GROUP BY 1, 2),
present AS (
    SELECT merchant, sku, l.ledger_version, warehouse, sum(on_hand) AS on_hand, sum(held) AS held, sum(allocated) AS allocated
      FROM ledger_stock_record JOIN ledger l USING (merchant, sku) JOIN told t USING (merchant, sku)
     WHERE t.ledger_version = l.ledger_version GROUP BY 1, 2, 3, 4)
SELECT merchant, sku, t.ledger_version AS told, l.ledger_version AS present, NULL AS warehouse, NULL AS told_units, NULL AS present_units
  FROM told t FULL JOIN ledger l USING (merchant, sku)
 WHERE l.merchant IS NULL OR t.ledger_version > l.ledger_version
    OR l.is_told AND t.ledger_version IS DISTINCT FROM l.ledger_version
 UNION ALL
SELECT merchant, sku, t.ledger_version, p.ledger_version, warehouse, concat_ws('/', t.on_hand, t.held, t.allocated),
       concat_ws('/', p.on_hand, p.held, p.allocated)
  FROM (SELECT v.* FROM level v JOIN ledger l USING (merchant, sku, ledger_version)) AS t
  FULL JOIN present p USING (merchant, sku, warehouse)
 WHERE (t.on_hand, t.held, t.allocated) IS DISTINCT FROM (p.on_hand, p.held, p.allocated);

-- ============================================================ what was read

-- check: every topic reaches as far as it was read
SELECT count(*) FROM log_partition;
SELECT t.name AS topic, p.partition, p.begins, p.ends, s.next_offset
  FROM (SELECT number, o.topic, (o.position ->> 'next_offset')::bigint AS next_offset
          FROM ledger_state_partition CROSS JOIN LATERAL jsonb_each(positions) AS o (topic, position)) AS s
  JOIN log_topic t ON t.name = s.topic
  JOIN log_partition p ON (p.topic, p.partition) = (t.topic, s.number)
 WHERE s.next_offset > p.ends;

-- check: no record of an input was passed over
SELECT count(*) FROM ledger_batch;
WITH range AS MATERIALIZED (
    SELECT number, o.topic, (o.range ->> 0)::bigint AS first_offset, (o.range ->> 1)::bigint AS next_offset,
           coalesce(lag((o.range ->> 1)::bigint) OVER (PARTITION BY side, number, o.topic ORDER BY batch_no),
                    CASE WHEN h.oldest = 1 THEN 0 END) AS read_to
      FROM ledger_batch JOIN (SELECT side, number, min(batch_no) AS oldest FROM ledger_batch GROUP BY 1, 2) h USING (side, number)
     CROSS JOIN LATERAL jsonb_each(offsets) AS o (topic, range)),
torn AS MATERIALIZED (
    SELECT topic, number, min(read_to) AS since FROM range WHERE first_offset <> read_to GROUP BY 1, 2),
input AS (
    SELECT 'earmark.orders' AS topic, partition AS number, record_offset FROM log_order
     UNION ALL SELECT 'earmark.inventory', partition, record_offset FROM log_command
     UNION ALL SELECT t.name, r.partition, r.record_offset FROM log_other r JOIN log_topic t USING (topic)
                WHERE t.name IN ('earmark.reservations', 'earmark.outcomes') AND r.record_offset IS NOT NULL),
lined_up AS (
    SELECT topic, number, record_offset, is_record, max(next_offset) OVER (PARTITION BY topic, number ORDER BY record_offset, is_record) AS read_to
      FROM (SELECT topic, number, record_offset, true AS is_record, NULL::bigint AS next_offset FROM input JOIN torn USING (topic, number)
             WHERE record_offset >= since
             UNION ALL SELECT topic, number, first_offset, false, next_offset FROM range JOIN torn USING (topic, number)) AS lined)
SELECT l.topic, l.number AS partition, l.record_offset
  FROM lined_up l
  JOIN (SELECT number, o.topic, (o.position ->> 'next_offset')::bigint AS next_offset
          FROM ledger_state_partition CROSS JOIN LATERAL jsonb_each(positions) AS o (topic, position)) p USING (topic, number)
 WHERE is_record AND l.record_offset < p.next_offset AND coalesce(read_to, 0) <= record_offset;

-- check: high-water marks are the highest numbers that were read
SELECT count(*) FROM ledger_high_water_mark;
WITH position AS (
    SELECT side, number, t.topic, t.name, (o.position ->> 'next_offset')::bigint AS next_offset
      FROM ledger_state_partition CROSS JOIN LATERAL jsonb_each(positions) AS o (name, position) JOIN log_topic t ON t.name = o.name),
read AS (
    SELECT p.side, p.number, p.name AS topic, r.source, max(r.sequence) AS sequence
      FROM log_other r JOIN position p ON (p.topic, p.number) = (r.topic, r.partition)
     WHERE r.record_offset < p.next_offset GROUP BY 1, 2, 3, 4),
marked AS (
    SELECT m.side, m.number, m.topic, s.source, m.sequence, p.cut_at
      FROM ledger_high_water_mark m
      JOIN ledger_state_partition w ON m.source = concat_ws('/', w.side, w.number, w.incarnation)
      JOIN log_source s ON (s.side, s.number) = (w.side, w.number)
      JOIN log_topic t ON t.name = m.topic
      JOIN log_partition p ON (p.topic, p.partition) = (t.topic, m.number))
SELECT side, number, topic, concat_ws('/', s.of_side, s.of_number) AS source, m.sequence AS marked, r.sequence AS read
  FROM (read r FULL JOIN marked m USING (side, number, topic, source))
  JOIN log_source s (source, of_side, of_number) USING (source)
 WHERE r.sequence IS DISTINCT FROM m.sequence AND (r.sequence IS NOT NULL OR m.cut_at IS NULL);
