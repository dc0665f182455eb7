"""Stock levels that changed are told in slices: a sweep over the SKUs says how far it is.

Revision 0017, after 0016.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE allocator.levels_told
  ADD COLUMN announced_at timestamptz,
  ADD COLUMN sweep_began_at timestamptz,
  ADD COLUMN sweep_merchant text,
  ADD COLUMN sweep_sku text,
  ADD CONSTRAINT levels_told_sweep_whole CHECK (
      (sweep_began_at IS NULL) = (sweep_merchant IS NULL) AND (sweep_merchant IS NULL) = (sweep_sku IS NULL)
  );
COMMENT ON COLUMN allocator.levels_told.told_at IS 'Whatever changed up to then is told';
COMMENT ON COLUMN allocator.levels_told.sweep_began_at IS
    'Of the SKUs up to (sweep_merchant, sweep_sku) whatever changed up to then is told; no sweep is under way where told_at is no earlier';
"""
DOWN = """
ALTER TABLE allocator.levels_told
  DROP COLUMN announced_at, DROP COLUMN sweep_began_at, DROP COLUMN sweep_merchant, DROP COLUMN sweep_sku;
"""


def upgrade() -> None:
    """Code that does not know them leaves them as they are and tells everything at once: both may serve at a time."""
    op.execute(UP)


def downgrade() -> None:
    """Whatever a sweep has told is told once more."""
    op.execute(DOWN)
