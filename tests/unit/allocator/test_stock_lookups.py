"""What the stock side looks up before it decides: nothing that a first attempt alone names."""

from collections.abc import Callable, Sequence

from services.allocator.core.stock.rows import ReservationRow
from services.allocator.stock_side import StockSettings, StockSide
from services.allocator.store.stock_memory import MemoryStockStorage
from shared.partitions.memory import MemoryTransaction
from shared.partitions.partition import Limits
from shared.schemas.commands import ChainStop, Release, ReserveChain, ReserveLine, StockCommand
from shared.schemas.values import Fill
from shared.schemas.wire import MAX_PACKED
from tests.unit.allocator.memory_partition import START, MemoryPartition


class Asked(MemoryStockStorage):
    """Notes which demands' reservations it is asked for."""

    def __init__(self, current: Callable[[], MemoryTransaction], asked: list[str]) -> None:
        super().__init__(current)
        self._asked = asked

    async def reservations(self, names: Sequence[tuple[str, str, str]]) -> list[ReservationRow]:
        self._asked.extend(demand.rpartition("/")[2] for demand, _, _ in names)
        return await super().reservations(names)


def line(name: str, attempt: int = 1) -> ReserveLine:
    return ReserveLine(
        demand=f"sales-order/acme/{name}", merchant="acme", sku="A", attempt=attempt, units=1, fill=Fill.PARTIAL, warehouses=("W",),
        priority=0, demanded_at=START,
    )  # fmt: skip


def release(name: str) -> Release:
    return Release(demand=f"sales-order/acme/{name}", merchant="acme", sku="A", attempt=2)


def chain(name: str) -> ReserveChain:
    return ReserveChain(
        demand=f"sales-order/acme/{name}", merchant="acme", alternative="W", attempt=1, stop=0, stops=(ChainStop(sku="A", units=1),),
        priority=0, demanded_at=START,
    )  # fmt: skip


def asked_for(doubted_commands: int, *batches: Sequence[StockCommand]) -> list[str]:
    """In one ownership."""
    asked: list[str] = []
    settings = StockSettings(doubted_commands=doubted_commands)
    partition = MemoryPartition("stock", lambda current: StockSide(Asked(current, asked), settings), forgetful=False)
    for batch in batches:
        partition.decide(batch)
    return asked


def test_the_first_attempt_of_a_line_is_not_looked_up() -> None:
    assert asked_for(0, [line("1"), line("2", attempt=2), line("3")]) == ["2"]


def test_what_may_be_overtaken_or_comes_later_is_looked_up() -> None:
    assert asked_for(0, [chain("1"), release("2")]) == ["1", "2"]


def test_a_first_attempt_is_looked_up_where_another_command_names_it_too() -> None:
    assert asked_for(0, [line("1"), release("1")]) == ["1"]


def test_after_a_takeover_everything_is_looked_up_for_a_while() -> None:
    assert asked_for(2, [line("1")], [line("2"), line("3")], [line("4")]) == ["1", "2", "3"]
    assert asked_for(1, [release("1"), release("2")], [line("3")], [line("4")]) == ["1", "2", "3"]


def test_more_is_looked_up_after_a_takeover_than_a_batch_has() -> None:
    """Else the command that the store refused might be taken for new again."""
    assert StockSettings().doubted_commands >= Limits().messages + MAX_PACKED
