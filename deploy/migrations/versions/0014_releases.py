"""Releases are movements: what a reservation gives back to a stock record stands in the record's history.

Revision 0014, after 0013.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE allocator.movement
  ADD COLUMN released_units bigint NOT NULL DEFAULT 0,
  DROP CONSTRAINT movement_kind_known,
  ADD CONSTRAINT movement_kind_known CHECK (kind IN ('receive', 'adjust', 'consume', 'release')),
  ADD CONSTRAINT movement_released CHECK (
      CASE kind WHEN 'release' THEN released_units > 0 AND change = 0 AND refusal IS NULL ELSE released_units = 0 END
  );
COMMENT ON COLUMN allocator.movement.released_units IS 'Units that a reservation gave back here; nothing changed on hand';
"""
DOWN = """
DELETE FROM allocator.movement WHERE kind = 'release';
ALTER TABLE allocator.movement
  DROP CONSTRAINT movement_released,
  DROP COLUMN released_units,
  DROP CONSTRAINT movement_kind_known,
  ADD CONSTRAINT movement_kind_known CHECK (kind IN ('receive', 'adjust', 'consume'));
"""


def upgrade() -> None:
    """One more kind, one more figure. Movements so far released nothing, as the default says."""
    op.execute(UP)


def downgrade() -> None:
    """The history of releases goes; what is on hand does not hang on it."""
    op.execute(DOWN)
