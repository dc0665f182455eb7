-- The checks of `earmark verify`. Each: a count of the rows it goes over; then a query whose rows are wrong.

-- check: on hand of every stock record is the sum of its movements
SELECT count(*) FROM allocator.stock_record;
SELECT r.merchant, r.sku, r.record, r.on_hand, coalesce(m.moved, 0) AS moved
  FROM allocator.stock_record r
  LEFT JOIN (SELECT merchant, sku, record, sum(change) AS moved FROM allocator.movement WHERE refusal IS NULL GROUP BY 1, 2, 3) m
       USING (merchant, sku, record)
 WHERE r.on_hand IS DISTINCT FROM coalesce(m.moved, 0);

-- check: movements of a stock record follow one another
SELECT count(*) FROM allocator.movement WHERE refusal IS NULL;
SELECT merchant, sku, record, record_version, on_hand_before, previous
  FROM (SELECT merchant, sku, record, record_version, on_hand_before, on_hand_after, change,
               coalesce(lag(on_hand_after) OVER (PARTITION BY merchant, sku, record ORDER BY record_version), 0) AS previous
          FROM allocator.movement WHERE refusal IS NULL) AS ordered
 WHERE on_hand_before <> previous OR on_hand_after <> on_hand_before + change OR on_hand_after < 0;

-- check: no stock record is oversold
SELECT count(*) FROM allocator.stock_record;
SELECT merchant, sku, record, on_hand, held, backed, flagged
  FROM allocator.stock_record
 WHERE on_hand < 0 OR held < 0 OR backed < 0 OR flagged < 0 OR backed > greatest(on_hand - held, 0);

-- check: allocated of every stock record is the sum of the reservations that lie there
SELECT count(*) FROM allocator.stock_record;
WITH piece AS (
    SELECT v.merchant, v.sku, p.record, sum(p.units) AS units, sum(coalesce(p.flags, 0)) AS flags
      FROM allocator.reservation v, unnest(v.piece_records, v.piece_units, v.piece_flags) AS p (record, units, flags)
     GROUP BY 1, 2, 3)
SELECT merchant, sku, record, r.backed, coalesce(p.units, 0) AS pieces, r.flagged, coalesce(p.flags, 0) AS flags
  FROM allocator.stock_record r FULL JOIN piece p USING (merchant, sku, record)
 WHERE r.backed IS DISTINCT FROM coalesce(p.units, 0) OR r.flagged IS DISTINCT FROM coalesce(p.flags, 0);

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

-- check: nobody is overallocated beside stock that is free for them
SELECT count(*) FROM allocator.reservation WHERE flagged_units > 0;
SELECT v.demand, v.sku, v.flagged_units, r.warehouse, r.on_hand - r.held - r.backed AS free
  FROM allocator.reservation v
  JOIN allocator.stock_record r USING (merchant, sku)
 WHERE v.flagged_units > 0 AND r.warehouse = ANY (v.warehouses) AND r.on_hand - r.held - r.backed > 0
   AND (r.expires_on IS NULL OR r.expires_on >= (now() AT TIME ZONE 'UTC')::date);

-- check: what was consumed left the shelf
SELECT count(*) FROM allocator.reservation WHERE consumed_units > 0;
SELECT merchant, sku, c.consumed, m.moved
  FROM (SELECT merchant, sku, sum(consumed_units) AS consumed FROM allocator.reservation WHERE consumed_units > 0 GROUP BY 1, 2) c
  FULL JOIN (SELECT merchant, sku, -sum(change) AS moved FROM allocator.movement WHERE kind = 'consume' AND refusal IS NULL GROUP BY 1, 2) m
       USING (merchant, sku)
 WHERE coalesce(c.consumed, 0) <> coalesce(m.moved, 0);

-- check: no reservation knows an attempt that its demand never made
SELECT count(*) FROM allocator.reservation;
SELECT v.demand, v.sku, v.attempt, d.attempt AS demand_attempt
  FROM allocator.reservation v LEFT JOIN allocator.demand d USING (demand)
 WHERE d.demand IS NULL OR v.attempt > d.attempt;

-- check: batches of every state partition follow one another, and their outputs too
SELECT count(*) FROM allocator.batch;
SELECT side, number, batch_no, first_sequence, previous_last
  FROM (SELECT side, number, batch_no, first_sequence, last_sequence,
               lag(batch_no) OVER w AS previous_no, lag(last_sequence) OVER w AS previous_last
          FROM allocator.batch WINDOW w AS (PARTITION BY side, number ORDER BY batch_no)) AS ordered
 WHERE previous_no IS NOT NULL AND (batch_no <> previous_no + 1 OR first_sequence <> previous_last + 1)
    OR last_sequence < first_sequence - 1;

-- check: every state partition stands at its last batch
SELECT count(*) FROM allocator.state_partition;
SELECT p.side, p.number, p.batch_no, b.batch_no AS last_batch, p.out_sequence, b.last_sequence
  FROM allocator.state_partition p
  LEFT JOIN LATERAL (SELECT batch_no, last_sequence FROM allocator.batch b
                      WHERE (b.side, b.number) = (p.side, p.number) ORDER BY batch_no DESC LIMIT 1) b ON true
 WHERE p.batch_no > 0 AND (p.batch_no IS DISTINCT FROM b.batch_no OR p.out_sequence IS DISTINCT FROM b.last_sequence)
    OR p.published_sequence > p.out_sequence;

-- check: the outbox holds everything that may not be published yet
SELECT count(*) FROM allocator.outbox;
SELECT p.side, p.number, p.out_sequence - p.published_sequence AS owed, o.held
  FROM allocator.state_partition p
  LEFT JOIN LATERAL (SELECT sum(last_sequence - greatest(first_sequence, p.published_sequence + 1) + 1) AS held FROM allocator.outbox o
                      WHERE (o.side, o.number) = (p.side, p.number) AND last_sequence > p.published_sequence) o ON true
 WHERE p.out_sequence - p.published_sequence <> coalesce(o.held, 0);
