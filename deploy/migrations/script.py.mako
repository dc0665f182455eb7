"""${message}

Revision ${up_revision}, after ${down_revision | comma,n}. Released migrations never change.
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

branch_labels = None
depends_on = None

SQL = """
"""


def upgrade() -> None:
    """Expand only: the version before this one runs beside it."""
    op.execute(SQL)


def downgrade() -> None:
    """Never: restore a backup instead, so that no stock is lost by a script."""
    raise NotImplementedError("migrations go forward only; restore a backup to go back")
