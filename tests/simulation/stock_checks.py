"""The stock side's promises, checked on what is committed: after every transaction, and at rest."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from services.allocator.core.stock.rows import BatonRow, MovementRow, QueueRow, RecordRow, ReservationRow
from services.allocator.store.demand_memory import PAGES
from services.allocator.store.demand_memory import TABLE as DEMANDS
from services.allocator.store.demand_ports import DemandRow
from services.allocator.store.stock_memory import BATONS, MOVEMENTS, QUEUES, RECORDS
from services.allocator.store.stock_memory import RESERVATIONS as RESERVED
from shared.partitions.memory import GONE
from shared.partitions.model import Batch, InputRecord, PartitionId
from shared.schemas.topics import OUTCOMES, RESERVATIONS, Topic
from shared.schemas.values import sku_key
from shared.schemas.wire import partition_of
from tests.simulation.baton_checks import check_batons
from tests.simulation.books import Sku, SkuBooks, check_movements, check_nobody_asleep, check_nobody_passed_over, check_sku
from tests.simulation.failed import Failed
from tests.simulation.shop import Shop
from tests.simulation.single_checks import check_demand, check_reservation, records_of

if TYPE_CHECKING:
    from tests.simulation.world import World

CLOCKS_JUMP = timedelta(minutes=1)
_TABLES = (RECORDS, RESERVED, MOVEMENTS, BATONS, QUEUES)


class _Part(NamedTuple):
    """One state partition's part of a transaction: its batch, the messages in it, and the only one where it is alone."""

    batch: Batch
    messages: list[Any]
    single: Any


class _Touched(NamedTuple):
    """A SKU as it was before, and whose part has changed it."""

    before: SkuBooks
    part: _Part


class StockChecks:
    """Keeps books of every SKU from the writes of every transaction."""

    def __init__(self, world: "World", shop: Shop, said_by: Callable[[InputRecord], list[Any]]) -> None:
        """`said_by`: the messages of a record that was read."""
        self.world, self._shop, self._said_by = world, shop, said_by
        self.skus: dict[Sku, SkuBooks] = defaultdict(SkuBooks)
        self._demands: dict[str, DemandRow] = {}
        self._known: dict[tuple[str, Any], Any] = {}

    def applied(self, staged: dict[str, dict[Any, Any]]) -> None:
        """A transaction took effect: of one state partition, or of several together. Each part is held against what its own batch read
        and when that was."""
        parts = {key[0]: self._part(key[0], batch) for key, batch in staged.get("batch", {}).items() if batch is not GONE}
        if not parts:
            return
        touched: dict[Sku, _Touched] = {}
        for table in _TABLES:
            for key, value in staged.get(table, {}).items():
                gone = value is GONE
                row = self._known.pop((table, key), None) if gone else value
                if row is not None:
                    name = row.merchant, row.sku
                    if name not in touched:
                        touched[name] = _Touched(self.skus[name].before(), self._part_of(parts, RESERVATIONS, sku_key(*name)))
                    self._book(row, gone=gone)
                    if not gone:
                        self._known[table, key] = row
        for name, (before, part) in touched.items():
            self._check_touched(name, before, part)
        for demand in (key for key, row in staged.get(DEMANDS, {}).items() if row is GONE):
            self._forgotten(demand)
        for row in _demand_rows(staged):
            check_demand(self._part_of(parts, OUTCOMES, row.demand).single, self._demands.get(row.demand), row)
            self._demands[row.demand] = row
            self.world.tally["event", "attempt expired"] += row.status == "backoff"

    def _part(self, partition: PartitionId, batch: Batch) -> _Part:
        records = records_of(self.world, partition, batch)
        messages = [message for record in records for message in self._said_by(record)]
        return _Part(batch, messages, messages[0] if len(records) == len(messages) == 1 else None)

    def _part_of(self, parts: Mapping[PartitionId, _Part], lead: Topic, key: str) -> _Part:
        """Whose part this key is of. Nobody may write what belongs to another partition."""
        partition = PartitionId(lead.side, partition_of(key, self.world.counts[lead.name]))
        if partition not in parts:
            raise Failed(f"a partition wrote what is not its own: {key} belongs to {partition}, written by {list(parts)}")
        return parts[partition]

    def _check_touched(self, name: Sku, before: SkuBooks, part: _Part) -> None:
        today = part.batch.logical_time.date()
        check_sku(name, self.skus[name], today)
        check_nobody_passed_over(name, self.skus[name], today)
        check_reservation(name, part.single, before, self.skus[name], today)
        check_batons(name, before, self.skus[name], part.messages)

    def _forgotten(self, demand: str) -> None:
        """The demand side forgets last."""
        self.world.tally["event", "demand forgotten"] += 1
        row = self._demands.pop(demand)
        assert row.closed_at is not None, "what is forgotten has ended"
        age = self.world.database.clock() - row.closed_at
        left = list(self.of_demand(demand))
        if left:
            raise Failed(f"forgotten before its SKUs forgot it: {row.status}, {left} is left of {demand}")
        if age < self.world.business.keep() - CLOCKS_JUMP:
            raise Failed(f"forgotten too early: {age} after the end of {demand}")
        self._shop.forget(demand)

    def _check_tombstone(self, row: ReservationRow) -> None:
        """A tombstone goes only when nobody may come for it any more."""
        self.world.tally["event", "tombstone forgotten"] += 1
        demand = self._demands[row.demand]
        if demand.status != "forgetting" or row.reserved_units or row.waiting_units:
            raise Failed(f"tombstone dropped too early: {row} of a demand that is {demand.status}")

    def _book(self, row: Any, *, gone: bool) -> None:
        sku = self.skus[row.merchant, row.sku]
        match row:
            case RecordRow():
                sku.records[row.record] = row
            case ReservationRow():
                if gone:
                    self._check_tombstone(row)
                _put(sku.reservations, (row.demand, row.alternative), row, gone=gone)
            case BatonRow():
                self.world.tally["event", "baton expired"] += row.expired and not gone
                _put(sku.batons, (row.demand, row.alternative), row, gone=gone)
            case QueueRow():
                sku.queue = None if gone else row
            case MovementRow():
                sku.movements.append(row)

    def today(self) -> date:
        """The date by which the stock side last decided, at rest."""
        rows = self.world.database.table("partition").values()
        latest: date = max(self.world.clock(), *(row["logical_time"] for row in rows)).date()
        return latest

    def of_demand(self, demand: str) -> Iterator[ReservationRow]:
        """What the stock side knows of a demand, SKU by SKU."""
        for sku in self.skus.values():
            for (name, _), row in sku.reservations.items():
                if name == demand:
                    yield row

    def quiet(self) -> None:
        """At rest."""
        for name, sku in self.skus.items():
            check_movements(name, sku)
            check_nobody_asleep(name, sku, self.today())


def _demand_rows(staged: dict[str, dict[Any, Any]]) -> Iterator[DemandRow]:
    """What a transaction wrote of demands, as rows or on a page."""
    yield from (stored[1] for stored in staged.get(DEMANDS, {}).values() if stored is not GONE)
    for page in staged.get(PAGES, {}).values():
        yield from () if page is GONE else page.rows


def _put(rows: dict[Any, Any], key: Any, row: Any, *, gone: bool) -> None:
    if gone:
        rows.pop(key, None)
    else:
        rows[key] = row
