"""Code that is older than the database can live with takes no state partition over, whether it knows of that or not."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from services.console.serve import REFUSED
from shared.database import CodeTooOld, code_revision, hot_connection
from shared.migrations import migrate
from shared.partitions.model import PartitionId
from shared.partitions.ports import FenceLost
from shared.partitions.postgres import PostgresPartitionStore
from shared.partitions.process import PartitionProcess
from shared.settings import Settings
from tests.support.allocator import allocator, channel, receipt, settings_for
from tests.support.children import children
from tests.support.migrations import migrations_and_one_more, migrations_until

pytestmark = pytest.mark.integration

STOCK = PartitionId("stock", 3)
ROW = "SELECT epoch, owner, batch_no FROM allocator.state_partition WHERE side = 'stock' AND number = 3"
INCOMPATIBLE = "SELECT platform.refuse_code_before(9999)"


@pytest.mark.parametrize("known", [{}, {"earmark.revision": ""}, {"earmark.revision": "15"}], ids=["silent", "empty", "one less"])
async def test_older_code_claims_nothing_and_ours_does(known: dict[str, str], database: str) -> None:
    old, new = await asyncpg.connect(database, server_settings=known), await hot_connection(database)
    for made in (False, True):
        with pytest.raises(CodeTooOld, match=r"up to (0|15), and .* does not know 16: stop this process .*runbooks\.md#older-code"):
            await PostgresPartitionStore(old).claim(STOCK, "old")
        assert [tuple(row) for row in await new.fetch(ROW)] == [(1, "new", 0)] * made, "nothing was written"
        await PostgresPartitionStore(new).claim(STOCK, "new")
    await old.execute("UPDATE allocator.state_partition SET epoch = epoch + 1")  # what a runbook tells people to do by hand
    await old.close()
    await new.close()


async def test_a_migration_that_older_code_can_not_live_with_shuts_out_who_owns_a_partition(database: str, tmp_path: Path) -> None:
    store = PostgresPartitionStore(await hot_connection(database))
    row = await store.claim(STOCK, "before")
    await migrate(database, scripts=migrations_and_one_more(tmp_path, INCOMPATIBLE))
    await store.begin()
    with pytest.raises(FenceLost):
        await store.advance(row.epoch, row.batch_no, {}, 0)
    await store.rollback()
    with pytest.raises(CodeTooOld, match="does not know 9999"):
        await store.claim(STOCK, "before")
    await store.connection.close()


async def test_who_owned_a_partition_before_any_code_was_refused_is_shut_out_too(empty_database: str, tmp_path: Path) -> None:
    await migrate(empty_database, scripts=migrations_until("0015", tmp_path))
    silent = await asyncpg.connect(empty_database)
    store = PostgresPartitionStore(silent)
    row = await store.claim(STOCK, "first release")
    await migrate(empty_database)
    await store.begin()
    with pytest.raises(FenceLost):
        await store.advance(row.epoch, row.batch_no, {}, 0)
    await store.rollback()
    await silent.close()


async def test_a_migration_that_older_code_can_live_with_lets_it_claim(database: str, tmp_path: Path) -> None:
    await migrate(database, scripts=migrations_and_one_more(tmp_path, "ALTER TABLE allocator.reservation ADD COLUMN note text"))
    connection = await hot_connection(database)
    assert (await PostgresPartitionStore(connection).claim(STOCK, "ours")).epoch == 1
    assert await connection.fetchval("SELECT revision FROM platform.oldest_code") <= code_revision()
    await connection.close()


async def test_a_running_allocator_halts_when_its_code_is_refused_and_does_not_start_again(
    fresh_topics: str, database: str, tmp_path: Path
) -> None:
    """By its next look at the world, or without one by its next batch; that comes last, because whoever starts again after it may read the
    receipt before its code is refused."""
    settings = settings_for(fresh_topics, database)
    for seconds, message in ((0.2, None), (3_600.0, receipt("too-late", "MUG", 1))):
        async with allocator(settings.model_copy(update={"world_check_seconds": seconds})) as process, channel(fresh_topics) as shop:
            await _until_ready(process)
            await _execute(settings, INCOMPATIBLE)
            if message:
                await shop.say(message)
            assert "does not know 9999" in (halted := await _halted(process))
            assert "docs/runbooks.md#older-code" in halted
            assert process.troubles() == [halted]
        assert await _execute(settings, "SELECT count(*) FROM allocator.movement") == 0
        await _execute(settings, "UPDATE platform.oldest_code SET revision = 16 RETURNING revision")
    await _execute(settings, INCOMPATIBLE)
    with children(settings, tmp_path) as started:
        refused = started.start("allocator")
        assert await asyncio.to_thread(refused.ended, 30) == REFUSED
        assert "does not start: this code knows migrations up to" in refused.said()
        assert "Traceback" not in refused.said()


async def _execute(settings: Settings, statement: str) -> object:
    connection = await hot_connection(settings.dsn, "test")
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def _until_ready(process: PartitionProcess) -> None:
    async with asyncio.timeout(20):
        while not process.is_ready():
            await asyncio.sleep(0.05)


async def _halted(process: PartitionProcess) -> str:
    async with asyncio.timeout(20):
        while process.halted is None:
            await asyncio.sleep(0.05)
    return process.halted
