"""Inventory: warehouses, bins, products, stock commands with their answers, and the projected stock levels.

Revision 0006, after 0005.
"""

from alembic import op

from shared.platform_tables import create_platform_tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Identifiers are ASCII; collation C sorts them by byte, the same on every machine, which cursors rely on.
SQL = """
CREATE TABLE inventory.merchant (
    merchant text COLLATE "C" NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT merchant_pkey PRIMARY KEY (merchant)
);

CREATE TABLE inventory.warehouse (
    merchant text COLLATE "C" NOT NULL,
    warehouse text COLLATE "C" NOT NULL,
    name text NOT NULL,
    country text NOT NULL,
    time_zone text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT warehouse_pkey PRIMARY KEY (merchant, warehouse)
);

CREATE TABLE inventory.bin (
    merchant text COLLATE "C" NOT NULL,
    warehouse text COLLATE "C" NOT NULL,
    bin text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT bin_pkey PRIMARY KEY (merchant, warehouse, bin),
    CONSTRAINT bin_warehouse_fkey FOREIGN KEY (merchant, warehouse) REFERENCES inventory.warehouse,
    CONSTRAINT bin_kind_known CHECK (kind IN ('storage', 'receiving', 'staging'))
);

CREATE TABLE inventory.product (
    merchant text COLLATE "C" NOT NULL,
    sku text COLLATE "C" NOT NULL,
    name text NOT NULL,
    category text NOT NULL,
    barcode text NOT NULL,
    serialized boolean NOT NULL,
    lot_tracked boolean NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT product_pkey PRIMARY KEY (merchant, sku)
);

CREATE TABLE inventory.stock_command (
    merchant text COLLATE "C" NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    sku text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    content jsonb NOT NULL,
    answer jsonb,
    issued_at timestamptz NOT NULL,
    answered_at timestamptz,
    CONSTRAINT stock_command_pkey PRIMARY KEY (merchant, command_id),
    CONSTRAINT stock_command_kind_known CHECK (kind IN ('receive', 'adjust')),
    CONSTRAINT stock_command_status_known CHECK (status IN ('pending', 'posted', 'refused')),
    CONSTRAINT stock_command_answered CHECK ((status = 'pending') = (answer IS NULL) AND (answer IS NULL) = (answered_at IS NULL))
);
CREATE INDEX stock_command_newest ON inventory.stock_command (merchant, issued_at DESC, command_id DESC);
CREATE INDEX stock_command_sku ON inventory.stock_command (merchant, sku, issued_at DESC, command_id DESC);

CREATE TABLE inventory.stock_ledger (
    merchant text COLLATE "C" NOT NULL,
    sku text COLLATE "C" NOT NULL,
    ledger_version bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT stock_ledger_pkey PRIMARY KEY (merchant, sku)
);
COMMENT ON TABLE inventory.stock_ledger IS 'The newest version of each SKU that was projected: an older one changes nothing';

CREATE TABLE inventory.stock_level (
    merchant text COLLATE "C" NOT NULL,
    sku text COLLATE "C" NOT NULL,
    warehouse text COLLATE "C" NOT NULL,
    on_hand_units bigint NOT NULL,
    held_units bigint NOT NULL,
    allocated_units bigint NOT NULL,
    available_units bigint NOT NULL,
    CONSTRAINT stock_level_pkey PRIMARY KEY (merchant, sku, warehouse),
    CONSTRAINT stock_level_ledger_fkey FOREIGN KEY (merchant, sku) REFERENCES inventory.stock_ledger ON DELETE CASCADE
);
CREATE INDEX stock_level_warehouse ON inventory.stock_level (merchant, warehouse, sku);
"""


def upgrade() -> None:
    """Make schema and tables."""
    create_platform_tables("inventory")
    op.execute(SQL)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP SCHEMA inventory CASCADE")
