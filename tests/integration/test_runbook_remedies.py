"""What the runbooks tell people to do, done."""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest

from services.console.verify import verify
from shared.partitions.process import PartitionProcess
from shared.schemas.topics import RESERVATIONS
from shared.schemas.values import sku_key
from shared.schemas.wire import partition_of
from tests.support.allocator import MERCHANT, PARTITIONS, allocator, channel, order, receipt, settings_for

pytestmark = pytest.mark.integration

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"


def sql(name: str, replacements: dict[str, str]) -> str:
    """A statement of the runbooks, with a reader's own numbers in it."""
    found = re.search(rf"```sql {name}\n(.*?)```", RUNBOOKS.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"no statement {name} in the runbooks"
    statement = found.group(1)
    for old, new in replacements.items():
        assert old in statement
        statement = statement.replace(old, new)
    return statement


async def halted(process: PartitionProcess) -> str:
    """Why the first partition that halts did so."""
    async with asyncio.timeout(30):
        while not (troubles := process.troubles()):
            await asyncio.sleep(0.05)
    return troubles[0]


async def test_a_record_of_a_stranger_on_an_internal_topic_halts_its_partition_and_is_stepped_over(
    fresh_topics: str, database: str
) -> None:
    settings, number = settings_for(fresh_topics, database), partition_of(sku_key(MERCHANT, "MUG"), PARTITIONS)
    async with allocator(settings) as process, channel(fresh_topics) as shop:
        await shop.say(receipt("r-1", "MUG", 5), order("before", {"MUG": 1}))
        await shop.outcome("before", "allocated")
        offset = await shop.say_bytes(RESERVATIONS.name, number, b"{}")
        await shop.say(order("behind", {"MUG": 1}))
        assert f"stock/{number} stops at {RESERVATIONS.name} partition {number} offset {offset}" in await halted(process)

    statement = sql("skip-foreign-record", {"4711": str(offset), "number = 3": f"number = {number}"})
    connection = await asyncpg.connect(database)
    try:
        assert await connection.execute(statement) == "UPDATE 1"
        assert await connection.execute(statement) == "UPDATE 0", "a second time nothing happens"
    finally:
        await connection.close()

    async with allocator(settings), channel(fresh_topics) as shop:
        await shop.outcome("behind", "allocated")
        assert (await verify(database)).ok


async def test_whose_transaction_holds_up_vacuum_is_found_and_nobody_elses(database: str) -> None:
    dump, quick, reader = [await asyncpg.connect(database, server_settings={"application_name": name}) for name in ("dump", "", "")]
    try:
        await quick.execute("BEGIN")  # it has looked at nothing yet: vacuum does not wait for it
        await dump.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM allocator.state_partition")
        (found,) = await reader.fetch(sql("oldest-snapshot", {}))
        assert (found["application_name"], found["pid"]) == ("dump", dump.get_server_pid())
        await reader.execute("SELECT pg_terminate_backend($1, 5000)", found["pid"])
        assert not await reader.fetch(sql("oldest-snapshot", {}))
    finally:
        for connection in (dump, quick, reader):
            connection.terminate()
