"""What crosses the border of the fold: the stored rows of the stock side, immutable. Named tuples, because COPY takes tuples."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

SkuKey = tuple[str, str]
"""(merchant, SKU)."""
ReservationKey = tuple[str, str]
"""(demand, alternative), within a SKU."""


class RecordRow(NamedTuple):
    """A stock record. `record` numbers it within its SKU, from 1. `expired`: the end of its lot has been acted on."""

    merchant: str
    sku: str
    record: int
    partition: int
    warehouse: str
    bin: str
    lot: str | None
    label: str | None
    expires_on: date | None
    received_at: datetime
    on_hand: int
    held: int
    backed: int
    flagged: int
    version: int
    expired: bool
    changed_at: datetime


class QueueRow(NamedTuple):
    """What is known of a SKU's waiting queue without reading it. Missing for a SKU where nobody ever waited."""

    merchant: str
    sku: str
    partition: int
    waiting_count: int
    wake_window: int
    baton_seq: int
    continue_at: datetime | None


class BatonRow(NamedTuple):
    """A baton that is out."""

    merchant: str
    sku: str
    demand: str
    alternative: str
    partition: int
    baton: int
    expires_at: datetime
    expired: bool


class ReservationRow(NamedTuple):
    """Everything known of one (demand, SKU, alternative): reservation, place in the queue, highest attempt, tombstone.

    `piece_records` lists stock records; `piece_units` and `piece_flags` say how many units are backed there and how many lost their
    backing there (null: none did).
    """

    demand: str
    sku: str
    alternative: str
    merchant: str
    attempt: int
    version: int
    reserved_units: int
    flagged_units: int
    waiting_units: int
    consumed_units: int
    pending: bool
    mark: int | None
    fill: str
    strategy: str
    priority: int
    demanded_at: datetime
    warehouses: tuple[str, ...]
    piece_records: tuple[int, ...]
    piece_units: tuple[int, ...]
    piece_flags: tuple[int, ...] | None
    created_at: datetime
    empty_since: datetime | None


class MovementRow(NamedTuple):
    """A posted or refused change of a stock record, which is also the memory of its command; or units that a reservation gave back there.

    `origin` is `inventory` or `reservations`, so that no client can choose a command id of ours; `part` numbers the records that one
    consumption takes from. Refused: `refusal`, `field` and `remedy` are set, `record` is null and the figures are zero. A release
    changes nothing on hand: it says how many units are free again (`released_units`).
    """

    merchant: str
    sku: str
    origin: str
    command_id: str
    part: int
    digest: str
    kind: str
    record: int | None
    refusal: str | None
    field: str
    remedy: str
    reason: str
    cause: str
    change: int
    on_hand_before: int
    on_hand_after: int
    record_version: int
    ledger_version: int
    moved_at: datetime
    released_units: int = 0


class StoredSku(NamedTuple):
    """The summary of one SKU as loaded: its records by number, its queue, its batons."""

    records: list[RecordRow]
    queue: QueueRow | None
    batons: list[BatonRow]


class LevelsRound(NamedTuple):
    """How far the levels of all SKUs of a partition have been told once more: the next slice is due at `due_at`, behind the SKU `after`
    (none: at the first). `began_at`: when this round began, or will."""

    due_at: datetime
    began_at: datetime
    after: SkuKey | None


class Telling(NamedTuple):
    """How far the levels of a partition's SKUs are told: whatever changed up to `told_at`; some were told last at `announced_at`. Where
    there was more to tell than goes at once, a sweep over the SKUs is under way: it began at `began_at`, and of those up to `after`
    whatever changed up to then is told, too."""

    told_at: datetime
    announced_at: datetime
    began_at: datetime | None = None
    after: SkuKey | None = None


class StoredDeadlines(NamedTuple):
    """What a takeover must know: batons out, continuations, the next end of a lot per SKU, how far levels are told, the SKUs that have
    changed since `Telling.told_at` with the time of their last change, and how far the round is in which all are told again."""

    batons: list[tuple[SkuKey, ReservationKey, datetime]]
    continuations: list[tuple[SkuKey, datetime]]
    lots: list[tuple[SkuKey, date]]
    telling: Telling | None
    changed: list[tuple[SkuKey, datetime]]
    levels_round: LevelsRound | None = None


class StockChanges(NamedTuple):
    """What one batch changed at `now`. `changed_records`: their figures changed; of `redated_records` the dates, too. `telling`: stock
    levels of the partition were told, so far by now, and the round of all of them is at `levels_round`.
    `forgotten_reservations`: rows to remove, by (demand, SKU, alternative), before new ones are stored."""

    partition: int
    now: datetime
    new_records: list[RecordRow]
    changed_records: list[RecordRow]
    redated_records: list[RecordRow]
    queues: list[QueueRow]
    batons: list[BatonRow]
    returned_batons: list[tuple[SkuKey, ReservationKey]]
    new_reservations: list[ReservationRow]
    changed_reservations: list[ReservationRow]
    movements: list[MovementRow]
    telling: Telling | None
    levels_round: LevelsRound | None = None
    forgotten_reservations: Sequence[tuple[str, str, str]] = ()
