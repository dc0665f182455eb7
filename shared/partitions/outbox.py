"""From the sends of one batch to outbox rows: one per destination partition, its records encoded and numbered."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.partitions.model import DeadLetter, OutboxRow, Send
from shared.schemas import topics, wire
from shared.schemas.wire import Envelope, Record, partition_of

_PACKED = {topics.RESERVATIONS.name: "reservations", topics.OUTCOMES.name: "outcomes"}


def outbox_of(
    sends: Sequence[Send], counts: Mapping[str, int], source: str, sequence: int, batch_no: int, now: datetime
) -> tuple[list[OutboxRow], int]:
    """The rows, numbered from `sequence` + 1, and the last number used. Order within a destination is that of the sends.

    Internal messages travel packed; public events one to a record, so that their key orders and compacts them.
    """
    by_destination: dict[tuple[str, int], list[Send]] = {}
    for send in sends:
        destination = send.topic, partition_of(send.key, counts[send.topic])
        by_destination.setdefault(destination, []).append(send)
    rows = []
    for (topic, partition), told in sorted(by_destination.items(), key=lambda item: item[0]):
        records = _records(topic, told, source, sequence + 1, now)
        rows.append(OutboxRow(batch_no, topic, partition, sequence + 1, sequence + len(records), tuple(records)))
        sequence += len(records)
    return rows, sequence


def _records(topic: str, sends: Sequence[Send], source: str, first: int, now: datetime) -> list[Record]:
    if topic in _PACKED:
        return wire.packs(_PACKED[topic], [send.message for send in sends], source=source, first_sequence=first, time=now)
    if topic == topics.DEAD_LETTERS.name:
        return [dead_letter(send.message, Envelope(source, first + index), now) for index, send in enumerate(sends)]
    return [
        wire.encode(send.message, key=send.key, envelope=Envelope(source, first + index), time=now, traceparent=send.traceparent)
        for index, send in enumerate(sends)
    ]


def dead_letter(letter: DeadLetter, envelope: Envelope, now: datetime) -> Record:
    """The bytes as they came, with where and why in headers."""
    origin = letter.record
    why = (
        ("earmark_dead_topic", origin.topic.encode()),
        ("earmark_dead_partition", str(origin.partition).encode()),
        ("earmark_dead_offset", str(origin.offset).encode()),
        ("earmark_dead_field", letter.field.encode("utf-8", "replace")),
        ("earmark_dead_reason", letter.reason.encode("utf-8", "replace")),
    )
    subject = f"{origin.topic}/{origin.partition}/{origin.offset}"
    return Record(origin.key or b"", origin.value or b"", (*wire.headers("dead_letter", subject, envelope, now), *why))
