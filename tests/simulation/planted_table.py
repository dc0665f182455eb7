"""The table of docs/planted-bugs.md: one row for every planted bug, each renewed by itself."""

import re
from pathlib import Path
from typing import NamedTuple

from tests.simulation.flaw import Flaw
from tests.simulation.planted import PARTS, PLANTED

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "planted-bugs.md"
_ROW = re.compile(r"^\| `(\w+)` \|(?:[^|]*\|){3} (\d+|-) \|.*\n", re.MULTILINE)


class Found(NamedTuple):
    """What became of one planted bug: `times` of `seeds` found it, the median number of seeds until one did, the first that did, and what
    noticed it most often."""

    name: str
    times: int
    seeds: int
    median: float | None
    first: int | None
    noticed: str

    @property
    def share(self) -> str:
        """`3 of 8`."""
        return f"{self.times} of {self.seeds}"

    @property
    def median_shown(self) -> str:
        """A dash where there is none."""
        return _figure(self.median)

    @property
    def row(self) -> str:
        """Its line of the table."""
        cells = f"`{self.name}`", PLANTED[self.name].__doc__, self.share, self.median_shown, _figure(self.first), self.noticed
        return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |\n"


def _figure(number: float | None) -> str:
    return "-" if number is None else f"{number:g}"


def write(*found: Found, document: Path = DOCUMENT) -> None:
    """The document with these rows anew, and as it was for the rest. Of bugs that are planted no more, the rows go."""
    text = document.read_text(encoding="utf-8") if document.exists() else ""
    rows = {row[1]: row[0] for row in _ROW.finditer(text)} | {one.name: one.row for one in found}
    document.write_text(_HEAD.format(count=len(PLANTED)) + "".join(_part(title, of, rows) for title, of in PARTS.items()), encoding="utf-8")


def first_seeds(document: Path = DOCUMENT) -> dict[str, int]:
    """Every planted bug that has a row in the document, with the first seed that found it; -1 where none did."""
    return {name: -1 if first == "-" else int(first) for name, first in _ROW.findall(document.read_text(encoding="utf-8"))}


def _part(title: str, flaws: tuple[type[Flaw], ...], rows: dict[str, str]) -> str:
    head = "| planted bug | what is wrong | found by | median seeds | first seed | noticed as |\n|---|---|---|---|---|---|\n"
    return f"\n## {title}\n\n{head}" + "".join(rows.get(flaw.__name__, "") for flaw in flaws)


_HEAD = """# Planted bugs

A check that never fails may be one that can not. So the simulation (`tests/simulation`) is also run with a bug in the product: one rule
left out, by a switch in the test tree that no setting of the product reaches. {count} such bugs are planted one at a time, and each must be
found. A bug that no check finds means a missing check.

Every seed draws its own installation: processes, partitions and SKUs, limits of batches, rates of each fault, and what people do how often.
Seeds are tried from 0 on until enough have found the bug, or too many have been tried: the row has both figures. Each seed that finds it is
a new beginning, and the median is that of the number of seeds from one beginning until found. `make test` runs the first seed that found a
bug, with the bug and without it; where the product has changed and that seed misses it, others.

`make flaws` writes these tables; do that when the simulation or a core has changed much. `make flaws ARGS="--flaw NAME"` renews one row.
`python -m tests.simulation --seed SEED --flaw NAME --trace` shows how one is found.
"""
