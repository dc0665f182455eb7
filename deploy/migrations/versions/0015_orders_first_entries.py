"""The first entry of an order's history stands in the order's row, and the entry of the allocator's first answer in that answer's row: a
row of its own for each was a quarter of what an order wrote here. Entries from before stay where they are.

Revision 0015, after 0014.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE orders.sales_order ADD COLUMN first_entry text;
ALTER TABLE orders.allocation ADD COLUMN first_entry text, ADD COLUMN first_entry_id bigint;
ALTER TABLE orders.allocation ALTER COLUMN first_entry_id SET DEFAULT nextval('orders.history_id_seq');
COMMENT ON COLUMN orders.sales_order.first_entry IS 'JSON; null: it stands in orders.history';
COMMENT ON COLUMN orders.allocation.first_entry IS 'JSON; null: there was none, or it stands in orders.history';
COMMENT ON COLUMN orders.allocation.first_entry_id IS 'Its place among the entries of orders.history';
"""
ENTRIES_AS_ROWS = """
INSERT INTO orders.history (merchant, number, id, happening, version, at, by, details) OVERRIDING SYSTEM VALUE
SELECT merchant, number, id, e ->> 'happening', (e ->> 'version')::bigint, (e ->> 'at')::timestamptz, e ->> 'by', e -> 'details'
  FROM (SELECT merchant, number, 0 AS id, first_entry::jsonb AS e FROM orders.sales_order WHERE first_entry IS NOT NULL
        UNION ALL
        SELECT merchant, number, first_entry_id, first_entry::jsonb FROM orders.allocation WHERE first_entry IS NOT NULL) AS first;
"""
DOWN = f"""
{ENTRIES_AS_ROWS}
ALTER TABLE orders.allocation DROP COLUMN first_entry, DROP COLUMN first_entry_id;
ALTER TABLE orders.sales_order DROP COLUMN first_entry;
"""


def upgrade() -> None:
    """New columns only: no row is written anew."""
    op.execute(UP)


def downgrade() -> None:
    """The entries become rows again."""
    op.execute(DOWN)
