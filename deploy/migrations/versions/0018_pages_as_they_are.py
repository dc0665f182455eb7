"""Pages of waiting demands are stored as they are, not compressed.

Revision 0018, after 0017.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A page lives for seconds: to compress it took longer than to write it. Pages that are stored already stay readable as they are."""
    op.execute("ALTER TABLE allocator.demand_page ALTER COLUMN demands SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Compress those that are written from now on."""
    op.execute("ALTER TABLE allocator.demand_page ALTER COLUMN demands SET STORAGE EXTENDED")
