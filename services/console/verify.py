"""`earmark verify`: prove the books against the rows that explain them. Plain SQL that shares no code with the cores.

Every check is one statement that returns the rows that are wrong; no rows is the proof. `counts` says how many rows were looked at.
Some hold only while nothing is under way: they compare what was told with what was understood.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from shared.database import hot_connection

CHECKS = Path(__file__).with_name("verify.sql")
SHOWN = 20
STATEMENT_SECONDS = 4 * 3600.0
"""A statement over tens of millions of rows may take minutes; one that takes longer is not waited for."""
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""
_HEADING = re.compile(r"^-- check( when settled)?: (.+)\n((?:(?!-- check).*\n?)*)", re.MULTILINE)
_SECTION = re.compile(r"^-- =+ .*$", re.MULTILINE)


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
    when_settled: bool = False


def statements(file: Path = CHECKS) -> list[Statement]:
    """The checks of such a file: each begins with `-- check: NAME` or `-- check when settled: NAME`, its two statements end with
    semicolons."""
    found = []
    for kind, name, body in _HEADING.findall(file.read_text(encoding="utf-8")):
        count, wrong = (part.strip() for part in _SECTION.sub("", body).strip().rstrip(";").split(";\n", 1))
        found.append(Statement(name, count, wrong, when_settled=bool(kind)))
    return found


def silently(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


async def verify(dsn: str, *, settled: bool = False, progress: Progress = silently) -> Report:
    """Run every check. `settled`: nothing is under way, so those checks hold too that compare what was told with what was understood."""
    connection = await patient_connection(dsn)
    try:
        checks = [one for one in statements() if settled or not one.when_settled]
        return await proof(connection, checks, progress=progress)
    finally:
        await connection.close()


async def patient_connection(dsn: str, **more_server_settings: str) -> asyncpg.Connection:
    """One that may take its time. With the 4 MB of a usual `work_mem` a join of ten million rows goes through hundreds of files."""
    return await hot_connection(dsn, "earmark-verify", command_seconds=STATEMENT_SECONDS, work_mem="64MB", **more_server_settings)


async def proof(
    connection: asyncpg.Connection, checks: Sequence[Statement], what: str = "checking the rows", progress: Progress = silently
) -> Report:
    """These checks on this connection. Each sees one moment of a running system, and lets go of it when it ends: a snapshot for all of
    them would keep what the work replaces meanwhile, and slow it down the more the longer it stood."""
    found = list[Check]()
    for one in checks:
        progress(what, len(found), len(checks))
        found.append(await _run(connection, one))
    return Report(found)


async def _run(connection: asyncpg.Connection, statement: Statement) -> Check:
    """The first wrong rows are fetched by a cursor. A LIMIT makes the planner look for the quickest way to twenty rows, where the proof is
    that there are none: joins of much with much became loops within loops."""
    async with connection.transaction(readonly=True):
        counted = await connection.fetchval(statement.count)
        wrong = await (await connection.cursor(statement.wrong)).fetch(SHOWN)
    return Check(statement.name, counted, [_told(row) for row in wrong])


def _told(row: asyncpg.Record) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())
