"""The rows that `earmark verify` must find: one change of one row each, the check that finds it, and how it is named.

The ledger they spoil is made in `test_verify`: orders `whole` (six MUG), `waits` (more MUG than there are), `gone` (consumed), `over`
(five CUP, of which two were damaged) and `short` (all or nothing, too few LEG).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spoiled:
    """One row made wrong: the check that must find it, and a piece of the text in which it is named."""

    what: str
    sql: str
    check: str
    named: str


NEVER_MADE = "no reservation knows an attempt that its demand never made"
CONSUMED = "what was consumed left the shelf"
WAREHOUSES = "a reservation lies in the warehouses that it may draw on"
HEARD = "every demand has seen the present state of its reservations"
ROWS_OF_BATCH = "every row of the outbox belongs to its batch"
TOLD = "nobody knows more of an order than was said of it"
AGREED = "orders and the allocator agree on every order"
ORDER_LINES = "every line of an order has what its reservations have"
NO_ORDER = "nothing is known of the allocation of an order that is not there"
ON_HAND = "on hand of every stock record is the sum of its movements"
CHAIN = "movements of a stock record follow one another"
ALLOCATED = "allocated of every stock record is the sum of the reservations that lie there"
PIECES = "every reservation is the sum of its pieces"
QUEUE = "the waiting queue of every SKU is the lines that wait"
WANTED = "what a line holds, waits for and has consumed is what its demand wants, on the demand's terms"
SEEN = "what a demand has seen of a reservation is what that reservation was"
BATCHES = "batches of every state partition follow one another, and their outputs and inputs too"
LAST_BATCH = "every state partition stands at its last batch"
OUTBOX = "the outbox holds everything that may not be published yet"
OVER = "no reservation is left of an attempt that is over"

RECORD = "UPDATE allocator.stock_record SET {} WHERE sku = 'MUG' AND bin = 'A-1'"
MOVEMENT = "UPDATE allocator.movement SET {} WHERE command_id = 'r-1'"
RESERVATION = "UPDATE allocator.reservation SET {} WHERE demand = 'sales-order/acme/whole'"
DEMAND = "UPDATE allocator.demand SET {} WHERE demand = 'sales-order/acme/whole'"
PAGE = """
INSERT INTO allocator.demand_page
SELECT partition, page + 1000, json_build_array(json_build_array(demand, merchant, status, wish, version, {}, NULL, NULL, state))::text
  FROM allocator.demand WHERE demand = 'sales-order/acme/whole'"""
WAITS = "UPDATE allocator.reservation SET {} WHERE demand = 'sales-order/acme/waits'"
GONE = "UPDATE allocator.reservation SET {} WHERE demand = 'sales-order/acme/gone'"
MUGS = "UPDATE allocator.sku_queue SET {} WHERE sku = 'MUG'"
ORDER = "UPDATE orders.sales_order SET {}"
ALLOCATION = "UPDATE orders.allocation SET {}"
BUSY = "(side, number) = (SELECT side, number FROM allocator.batch GROUP BY 1, 2 HAVING count(*) >= 3 ORDER BY 1, 2 LIMIT 1)"
PARTITION = f"UPDATE allocator.state_partition SET {{}} WHERE {BUSY}"
SECOND_BATCH = f"UPDATE allocator.batch SET {{}} WHERE {BUSY} AND batch_no = 2"

SPOILED = (
    # stock records
    Spoiled("units out of nowhere", RECORD.format("on_hand = on_hand + 1"), ON_HAND, "MUG"),
    Spoiled("a record that is gone", "DELETE FROM allocator.stock_record WHERE sku = 'MUG' AND bin = 'B-2'", ON_HAND, "MUG"),
    Spoiled("less backed than reserved", RECORD.format("backed = backed - 1"), ALLOCATED, "MUG"),
    Spoiled("more flagged than reserved", RECORD.format("flagged = flagged + 1"), ALLOCATED, "MUG"),
    Spoiled("oversold", RECORD.format("backed = on_hand + 1"), "no stock record is oversold", "MUG"),
    Spoiled("held by nobody", RECORD.format("held = 1"), "held of every stock record is the sum of its holds", "MUG"),
    Spoiled("an old version", RECORD.format("version = 1"), "the version of every stock record has reached its newest movement", "MUG"),
    Spoiled(
        "a hole in the numbers",
        "UPDATE allocator.stock_record SET record = 7 WHERE sku = 'MUG' AND bin = 'B-2'",
        "stock records of a SKU are numbered from one without holes",
        "MUG",
    ),
    Spoiled("another warehouse", RECORD.format("warehouse = 'far'"), WAREHOUSES, "far"),
    Spoiled("another partition", RECORD.format("partition = 7 - partition"), "all rows of a SKU lie in one state partition", "MUG"),
    Spoiled(
        "levels told tomorrow",
        "UPDATE allocator.levels_told SET told_at = told_at + interval '1 day'",
        "stock levels were told at a time of their state partition",
        "told_at",
    ),
    Spoiled(
        "a sweep of tomorrow",
        "UPDATE allocator.levels_told SET sweep_began_at = told_at + interval '1 day', sweep_merchant = 'acme', sweep_sku = 'MUG'",
        "stock levels were told at a time of their state partition",
        "sweep_began_at",
    ),
    # movements
    Spoiled("another receipt", MOVEMENT.format("change = change + 1, on_hand_after = on_hand_after + 1"), ON_HAND, "MUG"),
    Spoiled("a receipt that is gone", "DELETE FROM allocator.movement WHERE command_id = 'r-1'", ON_HAND, "MUG"),
    Spoiled("another before", MOVEMENT.format("on_hand_before = 1, on_hand_after = on_hand_after + 1"), CHAIN, "on_hand_before 1"),
    Spoiled("an adjustment before its receipt", "UPDATE allocator.movement SET record_version = 1 WHERE command_id = 'a-1'", CHAIN, "CUP"),
    Spoiled(
        "two of one ledger version",
        "UPDATE allocator.movement SET ledger_version = 2 WHERE command_id = 'r-2'",
        "every movement has a ledger version of its own",
        "movements 2",
    ),
    Spoiled("a receipt of less", MOVEMENT.format("kind = 'consume'"), "what moved fits the kind of its movement", "r-1"),
    Spoiled("a receipt that released", MOVEMENT.format("released_units = 1"), "what moved fits the kind of its movement", "r-1"),
    Spoiled("on a record that is none", MOVEMENT.format("record = 9"), ON_HAND, "record 9"),
    Spoiled(
        "consumed by somebody else",
        "UPDATE allocator.movement SET cause = 'sales-order/acme/other' WHERE kind = 'consume'",
        CONSUMED,
        "sales-order/acme/gone",
    ),
    # reservations
    Spoiled("more reserved than there are pieces", RESERVATION.format("reserved_units = reserved_units + 1"), PIECES, "whole"),
    Spoiled("a piece of nothing", RESERVATION.format("piece_units = ARRAY[piece_units[1] + 1]"), PIECES, "whole"),
    Spoiled("a piece elsewhere", RESERVATION.format("piece_records = ARRAY[2]"), ALLOCATED, "MUG"),
    Spoiled("flagged beside stock", RESERVATION.format("flagged_units = 1"), PIECES, "flagged_units 1"),
    Spoiled(
        "nobody's",
        "DELETE FROM allocator.demand WHERE demand = 'sales-order/acme/whole'",
        NEVER_MADE,
        "whole",
    ),
    Spoiled(
        "of an attempt to come",
        RESERVATION.format("attempt = attempt + 1"),
        NEVER_MADE,
        "whole",
    ),
    Spoiled("of an attempt that was", DEMAND.format("attempt = attempt + 1"), OVER, "whole"),
    Spoiled(
        "waiting for more",
        WAITS.format("waiting_units = waiting_units + 1"),
        WANTED,
        "waits",
    ),
    Spoiled("waiting for nothing", WAITS.format("waiting_units = 0"), QUEUE, "MUG"),
    Spoiled(
        "consumed twice",
        GONE.format("consumed_units = 2 * consumed_units"),
        CONSUMED,
        "gone",
    ),
    Spoiled("a better place", RESERVATION.format("priority = -1"), WANTED, "priority -1"),
    Spoiled("an older place", RESERVATION.format("demanded_at = demanded_at - interval '1 day'"), WANTED, "whole"),
    Spoiled(
        "other warehouses",
        RESERVATION.format("warehouses = ARRAY['far']"),
        WAREHOUSES,
        "whole",
    ),
    Spoiled("another fill", RESERVATION.format("fill = 'whole_lines'"), WANTED, "fill whole_lines"),
    Spoiled("pending for ever", RESERVATION.format("pending = true"), SEEN, "whole"),
    Spoiled("being picked by nobody", RESERVATION.format("mark = 1"), SEEN, "whole"),
    Spoiled(
        "a version that nobody was told",
        RESERVATION.format("version = version + 1"),
        HEARD,
        "whole",
    ),
    Spoiled("a reservation that is gone", "DELETE FROM allocator.reservation WHERE demand LIKE '%/short'", SEEN, "short"),
    # the queue
    Spoiled("a waiter that is not counted", MUGS.format("waiting_count = waiting_count + 1"), QUEUE, "MUG"),
    Spoiled("a queue that is gone", "DELETE FROM allocator.sku_queue WHERE sku = 'MUG'", QUEUE, "MUG"),
    Spoiled(
        "a baton from nowhere",
        "INSERT INTO allocator.baton SELECT merchant, sku, 'sales-order/acme/short', 'main', partition, baton_seq + 1, now(), false"
        " FROM allocator.sku_queue WHERE sku = 'LEG'",
        "every baton was numbered by the queue of its SKU",
        "LEG",
    ),
    Spoiled(
        "asleep beside stock",
        "UPDATE allocator.stock_record SET on_hand = on_hand + 50 WHERE sku = 'MUG' AND bin = 'B-2'",
        "nobody sleeps beside stock that would serve them",
        "waits",
    ),
    Spoiled(
        "overallocated beside stock",
        "UPDATE allocator.stock_record SET on_hand = on_hand + 50 WHERE sku = 'CUP'",
        "nobody is overallocated beside stock that is free for them",
        "over",
    ),
    # demands
    Spoiled("another merchant's", DEMAND.format("merchant = 'bolt'"), "every demand is its merchant's", "bolt"),
    Spoiled("a page from before", PAGE.format("attempt - 1"), "what a page says of a demand is no older than its row", "row_attempt 1"),
    Spoiled("a page that is left", PAGE.format("attempt"), "no page holds a demand", "whole"),
    Spoiled("fewer attempts", DEMAND.format("attempt = 0"), NEVER_MADE, "whole"),
    Spoiled("closed, and holding", DEMAND.format("status = 'closed', wish = 'closed'"), OVER, "whole"),
    Spoiled("a wish that nobody heard", DEMAND.format("wish = 'nothing'"), "every wish has been acted on", "whole"),
    Spoiled(
        "other lines",
        DEMAND.format("state = jsonb_set(state::jsonb, '{lines,0,1}', '99')::text"),
        WANTED,
        "wanted 99",
    ),
    Spoiled("another answer", DEMAND.format("state = jsonb_set(state::jsonb, '{seen,0,4}', '99')::text"), SEEN, "whole"),
    Spoiled("an answer to come", DEMAND.format("state = jsonb_set(state::jsonb, '{seen,0,3}', '99')::text"), SEEN, "seen_version 99"),
    Spoiled(
        "nothing heard",
        DEMAND.format("state = (state::jsonb - 'seen')::text"),
        HEARD,
        "whole",
    ),
    Spoiled(
        "picking without a mark",
        DEMAND.format('state = (state::jsonb || \'{"picking": "confirmed", "mark": 1}\')::text'),
        "a reservation is marked as being picked exactly where its demand is",
        "whole",
    ),
    # state partitions
    Spoiled("a batch that is gone", f"DELETE FROM allocator.batch WHERE {BUSY} AND batch_no = 2", BATCHES, "batch_no 3"),
    Spoiled("a batch of an older epoch", SECOND_BATCH.format("epoch = 0"), BATCHES, "epoch 0"),
    Spoiled(
        "a batch from yesterday",
        SECOND_BATCH.format("logical_time = logical_time - interval '1 day'"),
        BATCHES,
        "batch_no 2",
    ),
    Spoiled("a batch that said more", SECOND_BATCH.format("last_sequence = last_sequence + 1"), BATCHES, "batch_no 3"),
    Spoiled(
        "a batch that read again",
        f"UPDATE allocator.batch b SET offsets = (SELECT offsets FROM allocator.batch a WHERE a.side = b.side AND a.number = b.number AND"
        f" a.offsets <> '{{}}' ORDER BY batch_no LIMIT 1) WHERE {BUSY} AND offsets <> '{{}}'",
        "no record of an input was applied twice",
        "first_offset",
    ),
    Spoiled("a partition without a row", f"DELETE FROM allocator.state_partition WHERE {BUSY}", LAST_BATCH, "last_batch"),
    Spoiled("a batch too far", PARTITION.format("batch_no = batch_no + 1"), LAST_BATCH, "last_batch"),
    Spoiled("an older epoch", PARTITION.format("epoch = 0"), LAST_BATCH, "epoch 0"),
    Spoiled("a number too far", PARTITION.format("out_sequence = out_sequence + 1"), LAST_BATCH, "out_sequence"),
    Spoiled(
        "an input passed over",
        PARTITION.format("positions = jsonb_set(positions, ARRAY[(SELECT jsonb_object_keys(positions) LIMIT 1), 'next_offset'], '999')"),
        "every state partition reads on behind what its batches read",
        "next_offset 999",
    ),
    Spoiled(
        "a partition that does not exist",
        "INSERT INTO allocator.state_partition (side, number) VALUES ('stock', 8)",
        "state partitions are as many as the data model has",
        "number 8",
    ),
    Spoiled("nothing to publish", "DELETE FROM allocator.outbox", OUTBOX, "owed"),
    Spoiled(
        "an outbox row of no batch",
        "UPDATE allocator.outbox SET batch_no = 999",
        ROWS_OF_BATCH,
        "batch_no 999",
    ),
    Spoiled(
        "a mark above its source",
        "UPDATE allocator.high_water_mark SET sequence = sequence + 1000",
        "no high-water mark is above what its source has said",
        "source",
    ),
    Spoiled(
        "a dead letter to come",
        "UPDATE allocator.dead_letter SET record_offset = 999",
        "dead letters lie behind the place where reading goes on",
        "record_offset 999",
    ),
    # what the other services know
    Spoiled(
        "an order that was never written",
        ORDER.format("version = 0"),
        TOLD,
        "whole",
    ),
    Spoiled(
        "an answer that was never told",
        ALLOCATION.format("version = 99"),
        TOLD,
        "whole",
    ),
    Spoiled(
        "an answer that was not heard",
        ALLOCATION.format("version = 0"),
        AGREED,
        "whole",
    ),
    Spoiled(
        "a line with more",
        ALLOCATION.format("lines = replace(lines, '\"reserved_units\": 6', '\"reserved_units\": 9')"),
        ORDER_LINES,
        "whole",
    ),
    Spoiled("an answer of no order", ALLOCATION.format("number = 'nobody'"), NO_ORDER, "nobody"),
    Spoiled(
        "a receipt that was not posted",
        "INSERT INTO inventory.stock_command VALUES ('acme', 'r-9', 'MUG', 'receive', 'posted', '{}', '{}', now(), now())",
        "a stock command is answered as the ledger says",
        "r-9",
    ),
    Spoiled("levels to come", "UPDATE inventory.stock_ledger SET ledger_version = 99", "no stock level is newer than the ledger", "MUG"),
    Spoiled("other levels", "UPDATE inventory.stock_level SET on_hand_units = 99", "stock levels are the sums of the stock records", "MUG"),
)
