"""What every partition store says where nobody knows whether a batch was committed, on memory and on the real Postgres."""

import uuid
from typing import Literal

import pytest

from tests.contract.partition_servers import CONNECTION_BROKE, Server, claimed, outbox_row, serve


async def test_only_the_batch_with_its_own_token_counts_as_committed(server: Server) -> None:
    store, row = await claimed(server)
    batch = await serve(store, row)
    assert await store.committed(batch.batch_no, batch.token)
    assert not await store.committed(batch.batch_no, str(uuid.uuid4())), "another owner's batch has the same number"
    assert not await store.committed(batch.batch_no + 1, batch.token)


@pytest.mark.parametrize(("cut", "took_effect"), [("before", False), ("after", True)])
async def test_a_lost_answer_to_commit_is_settled_by_the_token(server: Server, cut: Literal["before", "after"], took_effect: bool) -> None:
    store, row = await claimed(server)
    batch = await serve(store, row, outbox=(outbox_row(1, 1, 2),), commit=False)
    server.lose(cut)
    with pytest.raises(CONNECTION_BROKE):
        await store.commit()
    await store.rollback()
    server.heal()
    fresh, again = await claimed(server, owner="two")
    assert await fresh.committed(1, batch.token) is took_effect
    assert (again.batch_no, again.out_sequence) == ((1, 2) if took_effect else (0, 0))
    assert len(await fresh.unpublished(0)) == int(took_effect)


async def test_a_batch_whose_session_the_server_ended_is_gone_and_holds_nobody_up(server: Server) -> None:
    """As idle_in_transaction_session_timeout does to a frozen process: its next owner must not wait for it."""
    frozen, row = await claimed(server)
    batch = await serve(frozen, row, outbox=(outbox_row(1, 1, 2),), commit=False)
    await server.end_session(frozen)
    fresh, again = await claimed(server, owner="two")
    assert (again.batch_no, await fresh.committed(1, batch.token)) == (0, False)
    with pytest.raises(CONNECTION_BROKE):
        await frozen.commit()
    await frozen.rollback()
    with pytest.raises(CONNECTION_BROKE):
        await frozen.begin()
    await serve(fresh, again)
