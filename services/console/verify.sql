-- The checks of `earmark verify`. Each: a count of the rows it goes over; then a query whose rows are wrong. `check when settled` holds
-- only while nothing is under way: every input read to its end, every output published and projected.

-- ============================================================ stock records and movements

-- check: on hand of every stock record is the sum of its movements
SELECT count(*) FROM allocator.stock_record;
SELECT merchant, sku, record, r.on_hand, coalesce(m.moved, 0) AS moved
  FROM allocator.stock_record r
  FULL JOIN (SELECT merchant, sku, record, sum(change) AS moved FROM allocator.movement WHERE refusal IS NULL GROUP BY 1, 2, 3) m
       USING (merchant, sku, record)
 WHERE r.on_hand IS DISTINCT FROM coalesce(m.moved, 0);

-- check: movements of a stock record follow one another
SELECT count(*) FROM allocator.movement WHERE refusal IS NULL;
SELECT merchant, sku, record, record_version, on_hand_before, previous
  FROM (SELECT merchant, sku, record, record_version, on_hand_before, on_hand_after, change, ledger_version, moved_at,
               coalesce(lag(on_hand_after) OVER w, 0) AS previous, lag(record_version) OVER w AS previous_version,
               lag(ledger_version) OVER w AS previous_ledger, lag(moved_at) OVER w AS previous_time
          FROM allocator.movement WHERE refusal IS NULL WINDOW w AS (PARTITION BY merchant, sku, record ORDER BY record_version)) AS ordered
 WHERE on_hand_before <> previous OR on_hand_after <> on_hand_before + change OR on_hand_after < 0
    OR record_version <= previous_version OR ledger_version <= previous_ledger OR moved_at < previous_time;

-- check: every movement has a ledger version of its own
SELECT count(*) FROM allocator.movement WHERE refusal IS NULL;
SELECT merchant, sku, ledger_version, count(*) AS movements
  FROM allocator.movement WHERE refusal IS NULL GROUP BY 1, 2, 3 HAVING count(*) > 1;

-- check: what moved fits the kind of its movement
SELECT count(*) FROM allocator.movement;
SELECT merchant, sku, command_id, kind, origin, change, released_units, refusal
  FROM allocator.movement
 WHERE kind = 'receive' AND refusal IS NULL AND change <= 0 OR kind = 'consume' AND change >= 0
    OR refusal IS NULL AND (change = 0) <> (kind = 'release') OR refusal IS NOT NULL AND (change <> 0 OR kind = 'release')
    OR (kind = 'release') <> (released_units > 0) OR released_units < 0 OR (kind IN ('consume', 'release')) <> (origin = 'reservations');

-- check: the version of every stock record has reached its newest movement
SELECT count(*) FROM allocator.stock_record;
SELECT merchant, sku, record, r.version, m.newest
  FROM allocator.stock_record r
  JOIN (SELECT merchant, sku, record, max(record_version) AS newest, max(ledger_version) AS newest_ledger
          FROM allocator.movement WHERE refusal IS NULL GROUP BY 1, 2, 3) m USING (merchant, sku, record)
 WHERE r.version < m.newest;

-- check: stock records of a SKU are numbered from one without holes
SELECT count(*) FROM allocator.stock_record;
SELECT merchant, sku, count(*) AS records, max(record) AS highest FROM allocator.stock_record GROUP BY 1, 2 HAVING count(*) <> max(record);

-- check: no stock record is oversold
SELECT count(*) FROM allocator.stock_record;
SELECT merchant, sku, record, on_hand, held, backed, flagged
  FROM allocator.stock_record
 WHERE on_hand < 0 OR held < 0 OR backed < 0 OR flagged < 0 OR backed > greatest(on_hand - held, 0);

-- check: held of every stock record is the sum of its holds
SELECT count(*) FROM allocator.stock_record;
SELECT merchant, sku, record, held FROM allocator.stock_record WHERE held <> 0;

-- check: allocated of every stock record is the sum of the reservations that lie there
SELECT count(*) FROM allocator.stock_record;
WITH piece AS (
    SELECT v.merchant, v.sku, p.record, sum(p.units) AS units, sum(coalesce(p.flags, 0)) AS flags
      FROM allocator.reservation v, unnest(v.piece_records, v.piece_units, v.piece_flags) AS p (record, units, flags)
     GROUP BY 1, 2, 3)
SELECT merchant, sku, record, r.backed, coalesce(p.units, 0) AS pieces, r.flagged, coalesce(p.flags, 0) AS flags
  FROM allocator.stock_record r FULL JOIN piece p USING (merchant, sku, record)
 WHERE r.backed IS DISTINCT FROM coalesce(p.units, 0) OR r.flagged IS DISTINCT FROM coalesce(p.flags, 0);

-- check: all rows of a SKU lie in one state partition
SELECT count(DISTINCT (merchant, sku)) FROM allocator.stock_record;
SELECT merchant, sku, array_agg(DISTINCT partition) AS partitions
  FROM (SELECT merchant, sku, partition FROM allocator.stock_record
         UNION ALL SELECT merchant, sku, partition FROM allocator.sku_queue
         UNION ALL SELECT merchant, sku, partition FROM allocator.baton) AS placed
 GROUP BY 1, 2 HAVING count(DISTINCT partition) > 1;

-- check: stock levels were told at a time of their state partition
SELECT count(*) FROM allocator.levels_told;
SELECT t.partition, t.told_at, t.announced_at, t.sweep_began_at, p.logical_time
  FROM allocator.levels_told t LEFT JOIN allocator.state_partition p ON (p.side, p.number) = ('stock', t.partition)
 WHERE p.number IS NULL OR greatest(t.told_at, t.announced_at, t.sweep_began_at) > p.logical_time;

-- ============================================================ reservations and queues

-- check: every reservation is the sum of its pieces
SELECT count(*) FROM allocator.reservation;
SELECT demand, sku, alternative, reserved_units, flagged_units
  FROM (SELECT v.*, (SELECT coalesce(sum(u), 0) FROM unnest(piece_units) u) AS units,
               (SELECT coalesce(sum(f), 0) FROM unnest(piece_flags) f) AS flags
          FROM allocator.reservation v) AS summed
 WHERE reserved_units <> units + flags OR flagged_units <> flags OR reserved_units < 0 OR waiting_units < 0 OR consumed_units < 0;

-- check: a reservation lies in the warehouses that it may draw on
SELECT count(*) FROM allocator.reservation;
SELECT v.demand, v.sku, p.record, r.warehouse
  FROM allocator.reservation v CROSS JOIN LATERAL unnest(v.piece_records, v.piece_units) AS p (record, units)
  LEFT JOIN allocator.stock_record r ON (r.merchant, r.sku, r.record) = (v.merchant, v.sku, p.record)
 WHERE p.units > 0 AND (r.warehouse IS NULL OR NOT r.warehouse = ANY (v.warehouses));

-- check: the waiting queue of every SKU is the lines that wait
SELECT count(*) FROM allocator.sku_queue;
SELECT merchant, sku, q.waiting_count, w.waiting
  FROM allocator.sku_queue q
  FULL JOIN (SELECT merchant, sku, count(*) AS waiting FROM allocator.reservation WHERE waiting_units > 0 GROUP BY 1, 2) w
       USING (merchant, sku)
 WHERE coalesce(q.waiting_count, 0) <> coalesce(w.waiting, 0);

-- check: every baton was numbered by the queue of its SKU
SELECT count(*) FROM allocator.baton;
SELECT b.merchant, b.sku, b.demand, b.baton, q.baton_seq
  FROM allocator.baton b LEFT JOIN allocator.sku_queue q USING (merchant, sku)
 WHERE q.baton_seq IS NULL OR b.baton > q.baton_seq;

-- check: nobody is overallocated beside stock that is free for them
SELECT count(*) FROM allocator.reservation WHERE flagged_units > 0;
SELECT v.demand, v.sku, v.flagged_units, r.warehouse, r.on_hand - r.held - r.backed AS free
  FROM allocator.reservation v
  JOIN allocator.stock_record r USING (merchant, sku)
 WHERE v.flagged_units > 0 AND r.warehouse = ANY (v.warehouses) AND r.on_hand - r.held - r.backed > 0
   AND (r.expires_on IS NULL OR r.expires_on >= (now() AT TIME ZONE 'UTC')::date);

-- check: what was consumed left the shelf
SELECT count(*) FROM allocator.reservation WHERE consumed_units > 0;
SELECT demand, merchant, sku, c.consumed, m.moved
  FROM (SELECT demand, merchant, sku, sum(consumed_units) AS consumed FROM allocator.reservation WHERE consumed_units > 0 GROUP BY 1, 2, 3) c
  FULL JOIN (SELECT cause AS demand, merchant, sku, -sum(change) AS moved
               FROM allocator.movement WHERE kind = 'consume' AND refusal IS NULL GROUP BY 1, 2, 3) m USING (demand, merchant, sku)
 WHERE coalesce(c.consumed, 0) <> coalesce(m.moved, 0)
   AND (c.consumed > 0 OR EXISTS (SELECT FROM allocator.demand d WHERE d.demand = m.demand AND d.status <> 'forgetting'));

-- check when settled: nobody sleeps beside stock that would serve them
SELECT count(*) FROM allocator.reservation WHERE waiting_units > 0;
WITH free AS (
    SELECT merchant, sku, warehouse, sum(greatest(on_hand - held - backed, 0)) AS units
      FROM allocator.stock_record
     WHERE expires_on IS NULL OR expires_on >= (now() AT TIME ZONE 'UTC')::date
     GROUP BY 1, 2, 3 HAVING sum(greatest(on_hand - held - backed, 0)) > 0),
first AS (
    SELECT DISTINCT ON (v.merchant, v.sku, w.warehouse) v.merchant, v.sku, v.demand, v.fill, v.waiting_units, v.warehouses
      FROM allocator.reservation v CROSS JOIN LATERAL unnest(v.warehouses) AS w (warehouse)
      JOIN free ON (free.merchant, free.sku, free.warehouse) = (v.merchant, v.sku, w.warehouse)
     WHERE v.waiting_units > 0
     ORDER BY v.merchant, v.sku, w.warehouse, v.priority, v.demanded_at, v.demand, v.alternative)
SELECT f.demand, f.sku, f.fill, f.waiting_units, sum(free.units) AS free
  FROM first f JOIN free ON (free.merchant, free.sku) = (f.merchant, f.sku) AND free.warehouse = ANY (f.warehouses)
  LEFT JOIN allocator.sku_queue q ON (q.merchant, q.sku) = (f.merchant, f.sku)
 WHERE q.continue_at IS NULL AND NOT EXISTS (SELECT FROM allocator.baton b WHERE (b.merchant, b.sku) = (f.merchant, f.sku))
 GROUP BY f.demand, f.sku, f.fill, f.waiting_units
HAVING f.fill = 'partial' OR sum(free.units) >= f.waiting_units;

-- ============================================================ demands and their reservations

-- check: no reservation knows an attempt that its demand never made
SELECT count(*) FROM allocator.reservation;
SELECT v.demand, v.sku, v.attempt, d.attempt AS demand_attempt
  FROM allocator.reservation v LEFT JOIN allocator.demand_now d USING (demand)
 WHERE d.demand IS NULL OR v.attempt > d.attempt;

-- check: what a page says of a demand is no older than its row
SELECT count(*) FROM allocator.demand_page;
SELECT n.demand, n.page, n.partition, n.version, n.attempt, d.partition AS row_partition, d.version AS row_version, d.attempt AS row_attempt
  FROM allocator.demand_now n JOIN allocator.demand d USING (demand)
 WHERE n.partition <> d.partition OR n.version < d.version OR n.attempt < d.attempt;

-- check: every demand is its merchant's
SELECT count(*) FROM allocator.demand_now;
SELECT demand, merchant FROM allocator.demand_now WHERE split_part(demand, '/', 2) <> merchant;

-- check: what a line holds, waits for and has consumed is what its demand wants, on the demand's terms
SELECT count(*) FROM allocator.reservation;
-- Here and below a demand's JSON is read in a materialized step, once: read for each reservation, orders of many lines took most of the time.
-- And its lists as jsonb: as text a line of ten fields is parsed ten times.
WITH terms AS MATERIALIZED (
    SELECT d.demand, d.attempt, t.* FROM allocator.demand_now d
     CROSS JOIN LATERAL json_to_record(d.state)
                        AS t (lines jsonb, alternative text, priority integer, demanded_at timestamptz, fill text, strategy text)
     WHERE d.status IN ('lines', 'allocated')),
line AS MATERIALIZED (
    SELECT demand, attempt, coalesce(alternative, '') AS alternative, coalesce(priority, 0) AS priority, demanded_at, fill, strategy,
           one ->> 0 AS sku, (one ->> 1)::bigint AS units, ARRAY(SELECT jsonb_array_elements_text(one -> 2)) AS warehouses
      FROM terms CROSS JOIN LATERAL jsonb_array_elements(lines) AS one)
SELECT l.demand, l.sku, l.units AS wanted, v.reserved_units, v.waiting_units, v.consumed_units, v.priority, v.demanded_at, v.fill
  FROM line l
  JOIN allocator.reservation v USING (demand, sku, alternative, attempt)
 WHERE v.reserved_units + v.waiting_units + v.consumed_units <> l.units OR v.warehouses <> l.warehouses
    OR v.priority <> l.priority OR v.demanded_at <> l.demanded_at OR v.fill <> l.fill OR v.strategy <> l.strategy;

-- check: what a demand has seen of a reservation is what that reservation was
SELECT count(*) FROM allocator.demand_now;
WITH seen AS MATERIALIZED (
    SELECT d.demand, d.status, one ->> 0 AS sku, one ->> 1 AS alternative, (one ->> 2)::bigint AS attempt, (one ->> 3)::bigint AS version,
           (one ->> 4)::bigint AS reserved_units, (one ->> 5)::bigint AS flagged_units, (one ->> 6)::bigint AS waiting_units,
           (one ->> 7)::bigint AS consumed_units, (one ->> 8)::boolean AS pending, (one ->> 9)::bigint AS mark
      FROM allocator.demand_now d CROSS JOIN LATERAL jsonb_array_elements((d.state -> 'seen')::jsonb) AS one)
SELECT demand, sku, s.attempt AS seen_attempt, s.version AS seen_version, v.attempt, v.version
  FROM seen s LEFT JOIN allocator.reservation v USING (demand, sku, alternative)
 WHERE v.version IS NULL AND s.status <> 'forgetting' OR (s.attempt, s.version) > (v.attempt, v.version)
    OR (s.attempt, s.version) = (v.attempt, v.version)
   AND ((s.reserved_units, s.flagged_units, s.waiting_units, s.consumed_units, s.pending)
        <> (v.reserved_units, v.flagged_units, v.waiting_units, v.consumed_units, v.pending) OR s.mark IS DISTINCT FROM v.mark);

-- check when settled: no page holds a demand
SELECT count(*) FROM allocator.demand_page;
SELECT partition, number AS page, one ->> 0 AS demand FROM allocator.demand_page CROSS JOIN LATERAL json_array_elements(demands::json) AS one;

-- check when settled: every demand has seen the present state of its reservations
SELECT count(*) FROM allocator.reservation;
WITH seen AS MATERIALIZED (
    SELECT d.demand, one ->> 0 AS sku, one ->> 1 AS alternative, (one ->> 2)::bigint AS attempt, (one ->> 3)::bigint AS version
      FROM allocator.demand_now d CROSS JOIN LATERAL jsonb_array_elements((d.state -> 'seen')::jsonb) AS one)
SELECT demand, sku, v.attempt, v.version, s.attempt AS seen_attempt, s.version AS seen_version
  FROM allocator.reservation v LEFT JOIN seen s USING (demand, sku, alternative)
 WHERE v.live AND (s.attempt, s.version) IS DISTINCT FROM (v.attempt, v.version);

-- check when settled: no reservation is left of an attempt that is over
SELECT count(*) FROM allocator.reservation WHERE live;
SELECT v.demand, v.sku, v.attempt, d.attempt AS demand_attempt, d.status, v.reserved_units, v.waiting_units, v.pending
  FROM allocator.reservation v JOIN allocator.demand_now d USING (demand)
 WHERE v.live AND (d.status IN ('released', 'closed', 'consumed', 'forgetting') OR v.attempt <> d.attempt OR v.pending AND d.status <> 'trying');

-- check when settled: every wish has been acted on
SELECT count(*) FROM allocator.demand_now;
SELECT demand, wish, status FROM allocator.demand_now
 WHERE wish = 'closed' AND status NOT IN ('closed', 'consumed', 'forgetting')
    OR wish = 'nothing' AND status NOT IN ('released', 'closed', 'consumed', 'forgetting')
    OR wish = 'stock' AND status = 'released';

-- check when settled: a reservation is marked as being picked exactly where its demand is
SELECT count(*) FROM allocator.reservation WHERE mark IS NOT NULL;
WITH picked AS MATERIALIZED (
    SELECT d.demand, p.* FROM allocator.demand_now d CROSS JOIN LATERAL json_to_record(d.state) AS p (picking text, mark bigint))
SELECT v.demand, v.sku, v.mark, p.mark AS demand_mark, p.picking
  FROM allocator.reservation v JOIN picked p USING (demand)
 WHERE v.live AND CASE WHEN p.picking IN ('confirmed', 'consuming') THEN v.mark IS DISTINCT FROM p.mark
                       WHEN p.picking = 'marking' THEN false
                       ELSE v.mark IS NOT NULL END;

-- ============================================================ state partitions

-- check: batches of every state partition follow one another, and their outputs and inputs too
SELECT count(*) FROM allocator.batch;
SELECT side, number, batch_no, epoch, first_sequence, previous_last, logical_time
  FROM (SELECT side, number, batch_no, epoch, first_sequence, last_sequence, logical_time,
               lag(batch_no) OVER w AS previous_no, lag(last_sequence) OVER w AS previous_last, lag(epoch) OVER w AS previous_epoch,
               lag(logical_time) OVER w AS previous_time
          FROM allocator.batch WINDOW w AS (PARTITION BY side, number ORDER BY batch_no)) AS ordered
 WHERE previous_no IS NOT NULL
   AND (batch_no <> previous_no + 1 OR first_sequence <> previous_last + 1 OR epoch < previous_epoch OR logical_time < previous_time)
    OR last_sequence < first_sequence - 1;

-- check: no record of an input was applied twice
SELECT count(*) FROM allocator.batch;
SELECT side, number, topic, batch_no, first_offset, previous_next
  FROM (SELECT side, number, batch_no, o.topic, (o.range ->> 0)::bigint AS first_offset, (o.range ->> 1)::bigint AS next_offset,
               lag((o.range ->> 1)::bigint) OVER (PARTITION BY side, number, o.topic ORDER BY batch_no) AS previous_next
          FROM allocator.batch CROSS JOIN LATERAL jsonb_each(offsets) AS o (topic, range)) AS ordered
 WHERE first_offset < previous_next OR next_offset <= first_offset;

-- check: every state partition stands at its last batch
SELECT count(*) FROM allocator.state_partition;
SELECT side, number, p.batch_no, b.batch_no AS last_batch, p.out_sequence, b.last_sequence, p.epoch, b.epoch AS last_epoch
  FROM allocator.state_partition p
  FULL JOIN (SELECT DISTINCT ON (side, number) side, number, batch_no, last_sequence, epoch, logical_time
               FROM allocator.batch ORDER BY side, number, batch_no DESC) b USING (side, number)
 WHERE p.batch_no IS NULL OR p.published_sequence > p.out_sequence
    OR p.batch_no > 0 AND (p.batch_no IS DISTINCT FROM b.batch_no OR p.out_sequence IS DISTINCT FROM b.last_sequence
                           OR p.epoch < b.epoch OR p.logical_time < b.logical_time);

-- check: every state partition reads on behind what its batches read
SELECT count(*) FROM allocator.state_partition;
SELECT side, number, topic, p.next_offset, p.last_offset, b.next_offset AS read
  FROM (SELECT side, number, o.topic, (o.position ->> 'next_offset')::bigint AS next_offset, (o.position ->> 'last_offset')::bigint AS last_offset
          FROM allocator.state_partition CROSS JOIN LATERAL jsonb_each(positions) AS o (topic, position)) p
  FULL JOIN (SELECT side, number, o.topic, max((o.range ->> 1)::bigint) AS next_offset
               FROM allocator.batch CROSS JOIN LATERAL jsonb_each(offsets) AS o (topic, range) GROUP BY 1, 2, 3) b USING (side, number, topic)
  LEFT JOIN (SELECT side, number, min(batch_no) AS oldest FROM allocator.batch GROUP BY 1, 2) h USING (side, number)
 WHERE p.next_offset IS DISTINCT FROM b.next_offset AND (b.next_offset IS NOT NULL OR h.oldest = 1) OR p.last_offset <> p.next_offset - 1;

-- check: state partitions are as many as the data model has
SELECT count(*) FROM allocator.state_partition;
SELECT p.side, p.number, w.value AS partitions
  FROM allocator.state_partition p
  JOIN platform.world w ON w.name = CASE p.side WHEN 'stock' THEN 'partitions of earmark.reservations' ELSE 'partitions of earmark.outcomes' END
 WHERE p.number < 0 OR p.number >= w.value::integer;

-- check: the outbox holds everything that may not be published yet
SELECT count(*) FROM allocator.outbox;
SELECT p.side, p.number, p.out_sequence - p.published_sequence AS owed, o.held
  FROM allocator.state_partition p
  LEFT JOIN LATERAL (SELECT sum(last_sequence - greatest(first_sequence, p.published_sequence + 1) + 1) AS held FROM allocator.outbox o
                      WHERE (o.side, o.number) = (p.side, p.number) AND last_sequence > p.published_sequence) o ON true
 WHERE p.out_sequence - p.published_sequence <> coalesce(o.held, 0);

-- check: every row of the outbox belongs to its batch
SELECT count(*) FROM allocator.outbox;
SELECT o.side, o.number, o.batch_no, o.first_sequence, o.last_sequence
  FROM allocator.outbox o LEFT JOIN allocator.batch b USING (side, number, batch_no)
 WHERE b.batch_no IS NULL OR o.first_sequence < b.first_sequence OR o.last_sequence > b.last_sequence OR octet_length(o.records) = 0;

-- check: no high-water mark is above what its source has said
SELECT count(*) FROM allocator.high_water_mark;
SELECT m.side, m.number, m.topic, m.source, m.sequence, p.out_sequence
  FROM allocator.high_water_mark m
  JOIN allocator.state_partition p ON m.source = concat_ws('/', p.side, p.number, p.incarnation)
 WHERE m.sequence > p.out_sequence;

-- check: dead letters lie behind the place where reading goes on
SELECT count(*) FROM allocator.dead_letter;
SELECT d.topic, d.partition, d.record_offset, p.next_offset
  FROM allocator.dead_letter d
  LEFT JOIN (SELECT o.topic, number, (o.position ->> 'next_offset')::bigint AS next_offset
               FROM allocator.state_partition CROSS JOIN LATERAL jsonb_each(positions) AS o (topic, position)) p
       ON (p.topic, p.number) = (d.topic, d.partition)
 WHERE p.next_offset IS NULL OR d.record_offset >= p.next_offset;

-- ============================================================ what the other services know

-- check: nobody knows more of an order than was said of it
SELECT count(*) FROM orders.sales_order;
SELECT d.demand, o.version AS order_version, d.version AS allocator_knows, d.told_version, a.version AS order_knows
  FROM orders.sales_order o
  LEFT JOIN orders.allocation a USING (merchant, number)
  JOIN (SELECT demand, version, coalesce((state ->> 'told_version')::bigint, 0) AS told_version FROM allocator.demand_now) d
       ON d.demand = concat_ws('/', 'sales-order', o.merchant, o.number)
 WHERE d.version > o.version OR a.version > d.told_version;

-- check: nothing is known of the allocation of an order that is not there
SELECT count(*) FROM orders.allocation;
SELECT merchant, number, status FROM orders.allocation a
 WHERE NOT EXISTS (SELECT FROM orders.sales_order o WHERE (o.merchant, o.number) = (a.merchant, a.number));

-- check when settled: orders and the allocator agree on every order
SELECT count(*) FROM orders.sales_order;
SELECT d.demand, o.version AS order_version, d.version AS allocator_knows, d.told_version, a.version AS order_knows
  FROM orders.sales_order o
  LEFT JOIN orders.allocation a USING (merchant, number)
  JOIN (SELECT demand, version, coalesce((state ->> 'told_version')::bigint, 0) AS told_version FROM allocator.demand_now) d
       ON d.demand = concat_ws('/', 'sales-order', o.merchant, o.number)
 WHERE d.version <> o.version OR coalesce(a.version, 0) <> d.told_version;

-- check when settled: every line of an order has what its reservations have
SELECT count(*) FROM orders.sales_order;
SELECT l.merchant, l.number, l.sku, t.reserved_units, v.reserved, t.flagged_units, v.flagged, t.waiting_units, v.waiting, t.consumed_units, v.consumed
  FROM (SELECT merchant, number, line.sku FROM orders.sales_order, jsonb_to_recordset(lines::jsonb) AS line (sku text)) l
  LEFT JOIN (SELECT a.merchant, a.number, told.*
               FROM orders.allocation a, jsonb_to_recordset(a.lines::jsonb) AS told
                    (sku text, reserved_units bigint, flagged_units bigint, waiting_units bigint, consumed_units bigint)) t
       USING (merchant, number, sku)
  JOIN allocator.demand_now d ON d.demand = concat_ws('/', 'sales-order', l.merchant, l.number) AND d.status <> 'forgetting'
  LEFT JOIN (SELECT demand, sku, sum(reserved_units) AS reserved, sum(flagged_units) AS flagged, sum(waiting_units) AS waiting,
                    sum(consumed_units) AS consumed
               FROM allocator.reservation GROUP BY 1, 2) v ON (v.demand, v.sku) = (d.demand, l.sku)
 WHERE (coalesce(t.reserved_units, 0), coalesce(t.flagged_units, 0), coalesce(t.consumed_units, 0))
    <> (coalesce(v.reserved, 0), coalesce(v.flagged, 0), coalesce(v.consumed, 0));

-- check: a stock command is answered as the ledger says
SELECT count(*) FROM inventory.stock_command;
SELECT c.merchant, c.sku, c.command_id, c.status, m.refusal
  FROM inventory.stock_command c
  LEFT JOIN allocator.movement m
       ON (m.merchant, m.sku, m.origin, m.command_id, m.part) = (c.merchant, c.sku, 'inventory', c.command_id, 0)
 WHERE c.status = 'posted' AND (m.command_id IS NULL OR m.refusal IS NOT NULL) OR c.status = 'refused' AND m.command_id IS NULL;

-- check: no stock level is newer than the ledger
SELECT count(*) FROM inventory.stock_ledger;
SELECT merchant, sku, i.ledger_version, r.ledger_version AS present
  FROM inventory.stock_ledger i
  LEFT JOIN (SELECT merchant, sku, 1 + sum(version) AS ledger_version FROM allocator.stock_record GROUP BY 1, 2) r USING (merchant, sku)
 WHERE r.ledger_version IS NULL OR i.ledger_version > r.ledger_version;

-- check when settled: stock levels are the sums of the stock records
SELECT count(*) FROM inventory.stock_level;
SELECT merchant, sku, warehouse, l.on_hand_units, r.on_hand, l.held_units, r.held, l.allocated_units, r.allocated
  FROM inventory.stock_level l
  FULL JOIN (SELECT merchant, sku, warehouse, sum(on_hand) AS on_hand, sum(held) AS held, sum(allocated) AS allocated
               FROM allocator.stock_record WHERE EXISTS (SELECT FROM inventory.stock_ledger) GROUP BY 1, 2, 3) r USING (merchant, sku, warehouse)
 WHERE (l.on_hand_units, l.held_units, l.allocated_units) IS DISTINCT FROM (r.on_hand, r.held, r.allocated);
