"""The end of a demand that ended long ago: first the stock side forgets its rows, then the demand itself is removed.

In this order, because what the stock side said before it forgot comes before its last word, and must find the demand.
"""

from services.allocator.core.demand.attempts import Sends
from services.allocator.core.demand.state import DemandState, Row, Status
from shared.schemas.commands import Forget


def begin(state: DemandState, sends: Sends) -> None:
    """Tell every row that the stock side has of it to go. A row was heard of from each, because every one was told to reserve or to
    release, and both are answered."""
    assert state.ended, f"{state.id} has not ended"
    assert not state.releasing, f"{state.id} has ended and was not released everywhere"
    assert not state.batons, f"{state.id} has ended and kept a baton"
    state.status = Status.FORGETTING
    for sku, alternative in sorted(state.seen):
        sends.append(Forget(demand=state.id, merchant=state.merchant, sku=sku, alternative=alternative, attempt=state.attempt))


def confirmed(state: DemandState, row: Row) -> None:
    """One row is gone."""
    assert state.status is Status.FORGETTING, f"{state.id}: nobody asked to forget it"
    del state.seen[row]
