-- What the checks of `earmark verify --from-log` ask of the ledger, as it stands at one moment. A snapshot that stood while the topics are
-- read would keep every version of every row that the work replaces meanwhile: after a quarter of an hour a look at one state partition went
-- over eight thousand of them. So it is copied at once, and let go.

CREATE TEMPORARY TABLE ledger_state_partition AS SELECT side, number, incarnation, positions FROM allocator.state_partition;
CREATE TEMPORARY TABLE ledger_batch AS SELECT side, number, batch_no, first_sequence, logical_time, offsets FROM allocator.batch;
CREATE TEMPORARY TABLE ledger_high_water_mark AS SELECT side, number, topic, source, sequence FROM allocator.high_water_mark;
CREATE TEMPORARY TABLE ledger_dead_letter AS SELECT topic, partition, record_offset FROM allocator.dead_letter;
CREATE TEMPORARY TABLE ledger_demand AS SELECT demand, partition, status, version, attempt, state::text AS state FROM allocator.demand_now;
CREATE TEMPORARY TABLE ledger_reservation AS
SELECT demand, sku, alternative, attempt, version, reserved_units, flagged_units, waiting_units, consumed_units FROM allocator.reservation;
CREATE TEMPORARY TABLE ledger_stock_record AS
SELECT partition, merchant, sku, warehouse, version, on_hand, held, allocated, changed_at FROM allocator.stock_record;
CREATE TEMPORARY TABLE ledger_levels_told AS SELECT partition, told_at FROM allocator.levels_told;
CREATE TEMPORARY TABLE ledger_movement AS
SELECT merchant, sku, origin, command_id, part, kind, record, refusal, change, on_hand_before, on_hand_after, record_version, ledger_version,
       moved_at
  FROM allocator.movement;
