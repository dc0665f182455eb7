"""`earmark verify`: prove the books against the rows that explain them. Plain SQL that shares no code with the cores.

Every check is one statement that returns the rows that are wrong; no rows is the proof. `counts` says how many rows were looked at.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from shared.database import hot_connection

CHECKS = Path(__file__).with_name("verify.sql")
SHOWN = 20
STATEMENT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Check:
    """One proof: its name, how many rows it went over, and the first of the rows that are wrong, as text."""

    name: str
    counted: int
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """What was proved."""

    checks: list[Check]

    @property
    def ok(self) -> bool:
        """Whether every check found nothing wrong."""
        return not any(check.problems for check in self.checks)

    def facts(self) -> dict[str, Any]:
        """For `--json`."""
        found = [{"check": check.name, "rows": check.counted, "problems": check.problems} for check in self.checks]
        return {"ok": self.ok, "checks": found}


@dataclass(frozen=True, slots=True)
class Statement:
    """A check as it stands in `verify.sql`: a heading, a query that counts, a query that finds what is wrong."""

    name: str
    count: str
    wrong: str


def statements() -> list[Statement]:
    """The checks of `verify.sql`: each begins with `-- check: NAME`, its two statements end with semicolons."""
    found = []
    for block in CHECKS.read_text(encoding="utf-8").split("-- check: ")[1:]:
        name, _, body = block.partition("\n")
        count, wrong = (part.strip() for part in body.strip().rstrip(";").split(";\n", 1))
        found.append(Statement(name.strip(), count, wrong))
    return found


async def verify(dsn: str) -> Report:
    """Run every check in one snapshot, so that a running system does not look wrong between two of them."""
    connection = await hot_connection(dsn, "earmark-verify", command_seconds=STATEMENT_SECONDS)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return Report([await _run(connection, statement) for statement in statements()])
    finally:
        await connection.close()


async def _run(connection: asyncpg.Connection, statement: Statement) -> Check:
    counted = await connection.fetchval(statement.count)
    wrong = await connection.fetch(f"SELECT * FROM ({statement.wrong}) AS wrong LIMIT {SHOWN}")
    return Check(statement.name, counted, [_told(row) for row in wrong])


def _told(row: asyncpg.Record) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())
