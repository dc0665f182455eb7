"""The first and the last statement of every batch, for any number of state partitions at once."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from shared.partitions import link
from shared.partitions.model import Batch, PartitionId

_FENCE = """
UPDATE allocator.state_partition AS p
   SET batch_no = p.batch_no + 1, positions = n.positions, published_sequence = greatest(p.published_sequence, n.published_sequence),
       logical_time = greatest(p.logical_time, clock_timestamp())
  FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::jsonb[], $6::bigint[])
       AS n (side, number, epoch, batch_no, positions, published_sequence)
 WHERE (p.side, p.number, p.epoch, p.batch_no) = (n.side, n.number, n.epoch, n.batch_no)
RETURNING p.side, p.number, p.logical_time
"""
_FINISH = """
WITH moved AS (
        UPDATE allocator.state_partition AS p SET out_sequence = n.last_sequence
          FROM unnest($1::text[], $2::integer[], $9::bigint[]) AS n (side, number, last_sequence)
         WHERE (p.side, p.number) = (n.side, n.number)),
     told AS (
        INSERT INTO allocator.outbox (side, number, batch_no, topic, destination, first_sequence, last_sequence, records)
        SELECT * FROM unnest($12::text[], $13::integer[], $14::bigint[], $15::text[], $16::integer[], $17::bigint[], $18::bigint[],
                             $19::bytea[])),
     read AS (
        INSERT INTO allocator.high_water_mark AS m (side, number, topic, source, sequence)
        SELECT * FROM unnest($20::text[], $21::integer[], $22::text[], $23::text[], $24::bigint[])
            ON CONFLICT (side, number, topic, source) DO UPDATE SET sequence = excluded.sequence WHERE m.sequence < excluded.sequence)
INSERT INTO allocator.batch
       (side, number, batch_no, epoch, token, logical_time, offsets, first_sequence, last_sequence, rules_hash, code_version)
SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::uuid[], $6::timestamptz[], $7::jsonb[], $8::bigint[],
                     $9::bigint[], $10::text[], $11::text[])
"""
"""All in one statement: for a batch of a few messages a round trip costs as much as what it asks for."""


class Fence(NamedTuple):
    """What a batch must find in its partition's row, and what it leaves there. `positions`: JSON."""

    side: str
    number: int
    epoch: int
    batch_no: int
    positions: str
    published_sequence: int


class Finish(NamedTuple):
    """What a batch leaves behind. `told`: topic, destination, first and last sequence,
    records of every outbox row; `read`: topic, source and sequence of every mark that rose."""

    partition: PartitionId
    batch: Batch
    told: Sequence[tuple[Any, ...]]
    read: Sequence[tuple[str, str, int]]


def _finish(parts: Sequence[Finish]) -> list[Any]:
    batches = [(*part.partition, *_batch_row(part.batch)) for part in parts]
    told = [(*part.partition, part.batch.batch_no, *row) for part in parts for row in part.told]
    read = [(*part.partition, *row) for part in parts for row in part.read]
    return [*_batch_columns(batches), *_told_columns(told), *_read_columns(read)]


def _batch_row(batch: Batch) -> tuple[Any, ...]:
    return (
        batch.batch_no, batch.epoch, batch.token, batch.logical_time, json.dumps(batch.offsets), batch.first_sequence,
        batch.last_sequence, batch.rules_hash, batch.code_version,
    )  # fmt: skip


_batch_columns, _told_columns, _read_columns = [link.columns(*count * (list,)) for count in (11, 8, 5)]

FENCE = link.Statement(link.FENCE, _FENCE, link.columns(*6 * (list,)), width=2)
FINISH = link.Statement(link.FINISH, _FINISH, _finish)
