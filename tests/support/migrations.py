"""The migrations of another version: of one before this one, or of the next."""

import shutil
from pathlib import Path

from shared.database import MIGRATIONS, revisions

NEXT = "9999"
_NEXT = f"""
from alembic import op
revision, down_revision, branch_labels, depends_on = "{NEXT}", "{{head}}", None, None
def upgrade() -> None:
    op.execute({{sql!r}})
"""


def migrations_until(revision: str, folder: Path) -> Path:
    """Ours up to this one, as files below `folder`."""
    later = [path.name for path in (MIGRATIONS / "versions").glob("[0-9]*.py") if path.name.partition("_")[0] > revision]
    shutil.copytree(MIGRATIONS, folder / revision, ignore=shutil.ignore_patterns("__pycache__", *later))
    return folder / revision


def migrations_and_one_more(folder: Path, sql: str) -> Path:
    """Ours, and the next version's, which runs this SQL."""
    made = migrations_until(head := revisions()[-1], folder)
    (made / "versions" / f"{NEXT}_next.py").write_text(_NEXT.format(head=head, sql=sql))
    return made
