"""What the endpoints of all master data do alike: create, list, get, edit."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, Table
from starlette.responses import Response

from services.inventory.store import master
from shared.http import Problem, Reply, Unit
from shared.http.commands import Runner
from shared.http.cursors import Paging
from shared.http.platform import Platform
from shared.http.problems import not_found


def view(row: RowMapping) -> dict[str, Any]:
    """A row as JSON, without its merchant, whom the key names."""
    return {name: value for name, value in row.items() if name != "merchant"}


async def create(unit: Unit, table: Table, by: str, rows: Sequence[dict[str, Any]], within: Mapping[str, str], many: str = "") -> None:
    """Insert the rows, all or none. Raises Problem 409 for a key that is taken, 422 for one that stands twice."""
    keys = [row[by] for row in rows]
    doubled = next((index for index, key in enumerate(keys) if keys.index(key) != index), None) if len(set(keys)) != len(keys) else None
    if doubled is not None:
        raise Problem(422, "repeated", f"{keys[doubled]} stands twice", field=_field(many, doubled, by), remedy="send each once")
    exists = await master.taken(unit.connection, table, within, by, keys)
    if exists:
        index = next(number for number, key in enumerate(keys) if key in exists)
        remedy = "edit it with PATCH, or choose another"
        raise Problem(409, "exists", f"{by} {keys[index]} exists already", field=_field(many, index, by), remedy=remedy)
    await master.add(unit.connection, table, [{**within, **row} for row in rows], unit.now)


async def listed(
    platform: Platform, table: Table, within: Mapping[str, str], by: str, page: Paging, search: str | None = None
) -> dict[str, Any]:
    """One page, sorted by key."""
    scope = "/".join([table.name, *within.values(), search or ""])
    after = page.after(scope)
    async with platform.reading() as connection:
        rows = await master.page(connection, table, within, by, after[0] if after else None, page.limit + 1, search)
    shown = rows[: page.limit]
    return page.reply(scope, [view(row) for row in shown], [shown[-1][by]] if len(rows) > page.limit else None)


async def one_of(platform: Platform, table: Table, key: Mapping[str, str], what: str) -> dict[str, Any]:
    """The document of a key. Raises Problem 404."""
    async with platform.reading() as connection:
        row = await master.one(connection, table, key)
    if row is None:
        raise not_found(what, list(key)[-1])
    return view(row)


async def edit(command: Runner, table: Table, key: Mapping[str, str], body: Any, what: str) -> Response:
    """Change what the body names. Raises Problem 404, 409 for another version than expected, 422 for an empty change."""
    changes = body.model_dump(exclude_none=True, exclude={"version"})
    if not changes:
        raise Problem(422, "empty_change", "the body names nothing to change", field="body", remedy="send at least one field")

    async def work(unit: Unit) -> Reply:
        row = await master.change(unit.connection, table, key, changes, body.version, unit.now)
        if row is not None:
            return Reply(200, view(row))
        present = await master.one(unit.connection, table, key)
        if present is None:
            raise not_found(what, list(key)[-1])
        detail = f"the {what} is at version {present['version']} now"
        raise Problem(409, "version", detail, field="version", remedy="read it again and decide anew")

    return (await command.run(work)).response()


def _field(many: str, index: int, by: str) -> str:
    return f"{many}.{index}.{by}" if many else by
