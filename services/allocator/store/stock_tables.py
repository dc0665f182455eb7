"""The stock side's tables, for queries off the hot path. Their definition is migration 0002; a test compares the two."""

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Computed, Date, DateTime, Integer, MetaData, Table, Text

metadata = MetaData(schema="allocator")


def _text(name: str, *, null: bool = False, key: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null, primary_key=key)


def _number(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


def _small(name: str, *, null: bool = False, key: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null, primary_key=key)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


stock_record = Table(
    "stock_record",
    metadata,
    _text("merchant", key=True),
    _text("sku", key=True),
    _small("record", key=True),
    _small("partition"),
    _text("warehouse"),
    _text("bin"),
    _text("lot", null=True),
    _text("label", null=True),
    Column("expires_on", Date),
    Column("received_at", DateTime(timezone=True), nullable=False),
    _number("on_hand"),
    _number("held"),
    _number("backed"),
    _number("flagged"),
    _number("version"),
    _flag("expired"),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("allocated", BigInteger, Computed("backed + flagged", persisted=True)),
    Column("available", BigInteger, Computed("on_hand - held - backed - flagged", persisted=True)),
)

sku_queue = Table(
    "sku_queue",
    metadata,
    _text("merchant", key=True),
    _text("sku", key=True),
    _small("partition"),
    _small("waiting_count"),
    _small("wake_window"),
    _number("baton_seq"),
    Column("continue_at", DateTime(timezone=True)),
)

baton = Table(
    "baton",
    metadata,
    _text("merchant", key=True),
    _text("sku", key=True),
    _text("demand", key=True),
    _text("alternative", key=True),
    _small("partition"),
    _number("baton"),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _flag("expired"),
)

levels_told = Table(
    "levels_told",
    metadata,
    _small("partition", key=True),
    Column("told_at", DateTime(timezone=True), nullable=False),
    Column("round_due_at", DateTime(timezone=True)),
    Column("round_began_at", DateTime(timezone=True)),
    _text("round_merchant", null=True),
    _text("round_sku", null=True),
    Column("announced_at", DateTime(timezone=True)),
    Column("sweep_began_at", DateTime(timezone=True)),
    _text("sweep_merchant", null=True),
    _text("sweep_sku", null=True),
)

reservation = Table(
    "reservation",
    metadata,
    _text("demand", key=True),
    _text("sku", key=True),
    _text("alternative", key=True),
    _text("merchant"),
    _number("attempt"),
    _number("version"),
    _number("reserved_units"),
    _number("flagged_units"),
    _number("waiting_units"),
    _number("consumed_units"),
    _flag("pending"),
    _number("mark", null=True),
    _text("fill"),
    _text("strategy"),
    _small("priority"),
    Column("demanded_at", DateTime(timezone=True), nullable=False),
    Column("warehouses", ARRAY(Text), nullable=False),
    Column("piece_records", ARRAY(Integer), nullable=False),
    Column("piece_units", ARRAY(BigInteger), nullable=False),
    Column("piece_flags", ARRAY(BigInteger)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("empty_since", DateTime(timezone=True)),
    Column("live", Boolean, Computed("reserved_units > 0 OR waiting_units > 0", persisted=True)),
)

movement = Table(
    "movement",
    metadata,
    _text("merchant", key=True),
    _text("sku", key=True),
    _text("origin", key=True),
    _text("command_id", key=True),
    _small("part", key=True),
    _text("digest"),
    _text("kind"),
    _small("record", null=True),
    _text("refusal", null=True),
    _text("field"),
    _text("remedy"),
    _text("reason"),
    _text("cause"),
    _number("change"),
    _number("on_hand_before"),
    _number("on_hand_after"),
    _number("record_version"),
    _number("ledger_version"),
    Column("moved_at", DateTime(timezone=True), nullable=False),
    Column("released_units", BigInteger, nullable=False, server_default="0"),
)
