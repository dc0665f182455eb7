"""The tables as queries name them; the migrations make them."""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from shared import dead_letters

METADATA = MetaData(schema="inventory")
_TIME = DateTime(timezone=True)


def _master(name: str, *columns: Column[object]) -> Table:
    return Table(name, METADATA, *columns, Column("version", BigInteger), Column("created_at", _TIME), Column("changed_at", _TIME))


MERCHANT = _master("merchant", Column("merchant", Text, primary_key=True), Column("name", Text))
WAREHOUSE = _master(
    "warehouse",
    Column("merchant", Text, primary_key=True),
    Column("warehouse", Text, primary_key=True),
    Column("name", Text),
    Column("country", Text),
    Column("time_zone", Text),
)
BIN = _master(
    "bin",
    Column("merchant", Text, primary_key=True),
    Column("warehouse", Text, primary_key=True),
    Column("bin", Text, primary_key=True),
    Column("kind", Text),
    Column("name", Text),
)
PRODUCT = _master(
    "product",
    Column("merchant", Text, primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("name", Text),
    Column("category", Text),
    Column("barcode", Text),
    Column("serialized", Boolean),
    Column("lot_tracked", Boolean),
)
STOCK_COMMAND = Table(
    "stock_command",
    METADATA,
    Column("merchant", Text, primary_key=True),
    Column("command_id", Text, primary_key=True),
    Column("sku", Text),
    Column("kind", Text),
    Column("status", Text),
    Column("content", JSONB),
    Column("answer", JSONB),
    Column("issued_at", _TIME),
    Column("answered_at", _TIME),
)
STOCK_LEDGER = Table(
    "stock_ledger",
    METADATA,
    Column("merchant", Text, primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("ledger_version", BigInteger),
    Column("changed_at", _TIME),
)
STOCK_LEVEL = Table(
    "stock_level",
    METADATA,
    Column("merchant", Text, primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("warehouse", Text, primary_key=True),
    Column("on_hand_units", BigInteger),
    Column("held_units", BigInteger),
    Column("allocated_units", BigInteger),
    Column("available_units", BigInteger),
)
DEAD_LETTER = dead_letters.table(METADATA)
