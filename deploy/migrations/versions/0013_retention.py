"""Retention: ended demands are found by their age and forgotten, and stock levels of all SKUs are told again in rounds.

Revision 0013, after 0012.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE allocator.demand DROP CONSTRAINT demand_status_known;
ALTER TABLE allocator.demand ADD CONSTRAINT demand_status_known CHECK (
    status IN ('released', 'lines', 'trying', 'waiting', 'backoff', 'allocated', 'closed', 'consumed', 'forgetting')
);
ALTER TABLE allocator.demand DROP CONSTRAINT demand_closed_when_ended;
ALTER TABLE allocator.demand ADD CONSTRAINT demand_closed_when_ended CHECK (
    closed_at IS NULL OR status IN ('closed', 'consumed', 'forgetting')
);
CREATE INDEX demand_ended ON allocator.demand (partition, closed_at) WHERE closed_at IS NOT NULL;

ALTER TABLE allocator.levels_told
  ADD COLUMN round_due_at timestamptz,
  ADD COLUMN round_began_at timestamptz,
  ADD COLUMN round_merchant text,
  ADD COLUMN round_sku text,
  ADD CONSTRAINT levels_told_round_whole CHECK (
      (round_due_at IS NULL) = (round_began_at IS NULL) AND (round_merchant IS NULL) = (round_sku IS NULL)
  );
COMMENT ON COLUMN allocator.levels_told.round_due_at IS 'When the next slice of all SKUs is told again, behind (round_merchant, round_sku)';
"""
DOWN = """
ALTER TABLE allocator.levels_told
  DROP COLUMN round_due_at, DROP COLUMN round_began_at, DROP COLUMN round_merchant, DROP COLUMN round_sku;
DROP INDEX allocator.demand_ended;
"""


def upgrade() -> None:
    """Widen what demands may be, add the index of those that ended. It is written once in a demand's life, when it ends."""
    op.execute(UP)


def downgrade() -> None:
    """Forget the rounds. The wider constraints stay: demands may be in the state that they allow."""
    op.execute(DOWN)
