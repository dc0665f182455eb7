"""What `earmark verify --from-log` must find: one thing each that is otherwise in the rows or in what was read of the topics, the check
that finds it, and how it is named.

The ledger and its log are made in `test_verify_log`; orders and commands are those of `spoiled_rows`. Tables of the ledger are spoiled in
the copy that is compared."""

from tests.integration.spoiled_rows import DEMAND, GONE, MOVEMENT, RESERVATION, Spoiled

READABLE = "every record in the topics can be read, or was put aside as a dead letter"
AHEAD = "no record has a number that its state partition never gave"
HOLES = "the numbers of every state partition have no hole in the topics"
COMPACTED = "no more stock levels lack than were compacted"
TWICE = "what was published twice says the same, in the same place"
AS_TOLD = "every movement that was told stands in the ledger as it was told"
ALL_TOLD = "every movement of the ledger was told"
ANSWERED = "every stock command that was read has one answer"
EXPLAINED = "no stock moved without a command that explains it"
VERSION = "every demand stands at the newest version that was said of it"
UNITS = "a demand wants the units that its order said"
LAST_WORD = "the newest word on every demand is the one that it told last"
LINES = "the newest word on every demand is, line by line, what it and its reservations have"
LEVELS = "the newest stock levels of every SKU are those of the ledger"
REACH = "every topic reaches as far as it was read"
PASSED = "no record of an input was passed over"
MARKS = "high-water marks are the highest numbers that were read"

COPIED = """
INSERT INTO allocator.movement
SELECT (jsonb_populate_record(m, '{"command_id": "r-9"}')).* FROM allocator.movement m WHERE command_id = 'r-1'"""
WHOLE = "UPDATE log_allocation SET {} WHERE demand = 'sales-order/acme/whole'"
TWO_OF_A_NUMBER = "(source, sequence) IN (SELECT source, sequence FROM log_record GROUP BY 1, 2 HAVING count(*) > 1 LIMIT 1)"

SPOILED = (
    # the numbers
    Spoiled("a record that is no dead letter any more", "DELETE FROM allocator.dead_letter", READABLE, "earmark.orders"),
    Spoiled("a number that nobody gave", "UPDATE log_source SET given = highest - 1 WHERE side = 'demand'", AHEAD, "side demand"),
    Spoiled("a word that is missing", "DELETE FROM log_allocation WHERE demand LIKE '%/gone' AND version = 1", HOLES, "side demand"),
    Spoiled(
        "the last word that is missing", "UPDATE log_source SET out_sequence = out_sequence + 1 WHERE side = 'demand'", HOLES, "demand"
    ),
    Spoiled("a movement that is missing", "DELETE FROM log_movement WHERE command_id = 'a-1'", HOLES, "side stock"),
    Spoiled("levels that are missing", "DELETE FROM log_level WHERE sku = 'CUP'", COMPACTED, "lacking"),
    Spoiled(
        "a repeat with other content", f"UPDATE log_record SET digest = coalesce(record_offset, -1) WHERE {TWO_OF_A_NUMBER}", TWICE, "topic"
    ),
    Spoiled(
        "a repeat elsewhere", f"UPDATE log_record SET partition = coalesce(record_offset, 96) % 97 WHERE {TWO_OF_A_NUMBER}", TWICE, "topic"
    ),
    # movements and commands
    Spoiled("another receipt", MOVEMENT.format("change = change + 1, on_hand_after = on_hand_after + 1"), AS_TOLD, "r-1"),
    Spoiled("a receipt that is gone", "DELETE FROM allocator.movement WHERE command_id = 'r-1'", AS_TOLD, "r-1"),
    Spoiled("a refusal that is gone", "DELETE FROM allocator.movement WHERE command_id = 'a-2'", AS_TOLD, "a-2"),
    Spoiled(
        "a consumption of less", "UPDATE allocator.movement SET record_version = 99 WHERE kind = 'consume'", AS_TOLD, "moved_version 99"
    ),
    Spoiled("a movement that nobody was told", COPIED, ALL_TOLD, "r-9"),
    Spoiled("a refusal that nobody was told", "DELETE FROM log_movement WHERE refusal IS NOT NULL", ALL_TOLD, "a-2"),
    Spoiled("a command without an answer", "DELETE FROM allocator.movement WHERE command_id = 'a-2'", ANSWERED, "a-2"),
    Spoiled("a movement that nobody asked for", COPIED, EXPLAINED, "r-9"),
    Spoiled("a receipt of other units", "UPDATE log_command SET change = change - 1 WHERE command_id = 'r-3'", EXPLAINED, "r-3"),
    # demands
    Spoiled("a version that was not heard", DEMAND.format("version = version - 1"), VERSION, "said 1"),
    Spoiled("a version that nobody said", DEMAND.format("version = version + 1"), VERSION, "known 2"),
    Spoiled("a demand that is gone", "DELETE FROM allocator.demand WHERE demand = 'sales-order/acme/whole'", VERSION, "whole"),
    Spoiled("other units wanted", DEMAND.format("state = jsonb_set(state::jsonb, '{lines,0,1}', '99')::text"), UNITS, "known 99"),
    Spoiled("a word to come", DEMAND.format("state = jsonb_set(state::jsonb, '{told_version}', '99')::text"), LAST_WORD, "known 99"),
    Spoiled("a demand of which nothing was told", "DELETE FROM log_allocation WHERE demand LIKE '%/whole'", LAST_WORD, "whole"),
    Spoiled("a word on nobody", "DELETE FROM allocator.demand WHERE demand = 'sales-order/acme/whole'", LAST_WORD, "whole"),
    Spoiled("more reserved", RESERVATION.format("reserved_units = reserved_units + 1"), LINES, "whole"),
    Spoiled("less consumed", GONE.format("consumed_units = consumed_units - 1"), LINES, "gone"),
    Spoiled("another answer", DEMAND.format("state = jsonb_set(state::jsonb, '{seen,0,4}', '99')::text"), LINES, "/99/"),
    Spoiled("another outcome", WHOLE.format("outcome = 'could_not_allocate'"), LINES, "outcome could_not_allocate"),
    Spoiled("a line too many", WHOLE.format("lines = replace(lines, ']]', '],[\"EXTRA\",1,0,0,1,0]]')"), LINES, "whole"),
    Spoiled("of another version", WHOLE.format("demand_version = 99"), LINES, "demand_version 99"),
    # stock levels
    Spoiled("units out of nowhere", "UPDATE allocator.stock_record SET on_hand = on_hand + 1 WHERE sku = 'MUG'", LEVELS, "MUG"),
    Spoiled("levels of the past", "DELETE FROM log_level WHERE sku = 'LEG'", LEVELS, "LEG"),
    Spoiled("levels to come", "UPDATE log_level SET ledger_version = 99 WHERE sku = 'MUG'", LEVELS, "told 99"),
    # what was read
    Spoiled("a topic that was cut off", "UPDATE log_partition SET ends = 0", REACH, "ends 0"),
    Spoiled(
        "records that no batch read",
        "DELETE FROM allocator.batch b USING allocator.batch n WHERE b.side = 'stock' AND (n.side, n.number) = (b.side, b.number)"
        " AND b.offsets ? 'earmark.inventory' AND n.offsets ? 'earmark.inventory' AND n.batch_no > b.batch_no AND b.batch_no > 1",
        PASSED,
        "earmark.inventory",
    ),
    Spoiled("a mark too high", "UPDATE allocator.high_water_mark SET sequence = sequence + 1", MARKS, "marked"),
    Spoiled("a mark that is gone", "DELETE FROM allocator.high_water_mark", MARKS, "read"),
)
