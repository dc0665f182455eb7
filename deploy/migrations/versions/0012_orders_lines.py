"""The lines of an order move into its row: a row for each, with two indexes, cost two fifths of taking an order in.

Revision 0012, after 0011. Nothing was released before it, so that no older version runs beside it: the table goes at once.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE orders.sales_order ADD COLUMN lines text, ADD COLUMN sku_keys text;
UPDATE orders.sales_order o SET lines = l.lines, sku_keys = l.sku_keys
  FROM (SELECT merchant, number,
               jsonb_agg(jsonb_build_object('sku', sku, 'units', units, 'warehouses', warehouses) ORDER BY position)::text AS lines,
               string_agg(merchant || '/' || sku, ',' ORDER BY position) AS sku_keys
          FROM orders.line GROUP BY merchant, number) AS l
 WHERE o.merchant = l.merchant AND o.number = l.number;
ALTER TABLE orders.sales_order ALTER COLUMN lines SET NOT NULL, ALTER COLUMN sku_keys SET NOT NULL;
COMMENT ON COLUMN orders.sales_order.lines IS 'JSON. As text: json is parsed by the server at every write';
COMMENT ON COLUMN orders.sales_order.sku_keys IS 'merchant/SKU of every line, between commas, for the index';

-- Entries wait in a list and enter the index many at once: an index of a row per line was half of the cost of lines.
CREATE INDEX sales_order_by_sku ON orders.sales_order USING gin (string_to_array(sku_keys, ','));
DROP TABLE orders.line;
"""

DOWNGRADE = """
CREATE TABLE orders.line (
    merchant text NOT NULL,
    number text NOT NULL,
    sku text NOT NULL,
    position integer NOT NULL,
    units bigint NOT NULL,
    warehouses jsonb NOT NULL,
    CONSTRAINT line_pkey PRIMARY KEY (merchant, number, sku),
    CONSTRAINT line_units_above_zero CHECK (units > 0)
) WITH (fillfactor = 80);
INSERT INTO orders.line (merchant, number, sku, position, units, warehouses)
SELECT o.merchant, o.number, l.line ->> 'sku', l.place - 1, (l.line ->> 'units')::bigint, coalesce(l.line -> 'warehouses', '[]')
  FROM orders.sales_order o CROSS JOIN LATERAL jsonb_array_elements(o.lines::jsonb) WITH ORDINALITY AS l (line, place);
CREATE INDEX line_by_sku ON orders.line (merchant, sku, number);
ALTER TABLE orders.sales_order DROP COLUMN lines, DROP COLUMN sku_keys;
"""


def upgrade() -> None:
    """Carry the lines over, drop their table."""
    op.execute(UPGRADE)


def downgrade() -> None:
    """Make the table again, and put the lines back."""
    op.execute(DOWNGRADE)
