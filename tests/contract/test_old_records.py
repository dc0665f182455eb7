"""Every record that a former release wrote is read by today's decoders, or refused for what was refused then."""

from collections import defaultdict

import pytest

from shared.partitions.model import InputRecord
from shared.schemas import topics, wire
from shared.schemas.wire import BadRecord, decode, header_map
from tests.old_data.recording import Recording, gaps, read, recordings
from tests.old_data.scenes import UNREADABLE

RELEASES = recordings()
EVERY = frozenset({*wire.ADAPTERS, *(f"{name}.pack" for name in wire.PACKS)})
UNREADABLE_ON = (topics.ORDER_INTAKE, topics.INVENTORY, topics.DEAD_LETTERS)
"""Where the scenes put it, and where it is kept as it came."""
NOT_YET_KNOWN = {"29af3b6": {"forget", "forgotten"}}
"""Commit to the kinds that its release had no word for."""


@pytest.fixture(scope="module", params=RELEASES)
def recording(request: pytest.FixtureRequest) -> Recording:
    return read(RELEASES[request.param])


def test_every_record_of_a_former_release_is_read_and_every_kind_is_among_them(recording: Recording) -> None:
    kinds: dict[str, set[str]] = defaultdict(set)
    refused: list[InputRecord] = []
    for one in recording.records:
        try:
            kinds[one.topic] |= {message.type for message in decode(one.value, header_map(one.headers), EVERY)}
        except BadRecord:
            refused.append(one)
    assert {(one.topic, one.value) for one in refused} == {(topic.name, UNREADABLE) for topic in UNREADABLE_ON}
    for topic, found in sorted(kinds.items()):
        print(f"{topic}: {', '.join(sorted(found))}")
    assert set().union(*kinds.values()) == wire.ADAPTERS.keys() - NOT_YET_KNOWN[recording.commit]


def test_a_recording_was_taken_in_the_midst_of_work(recording: Recording) -> None:
    assert not list(gaps(recording))
    published = {(row["side"], row["number"]): int(row["published_sequence"]) for row in recording.rows("allocator.state_partition")}
    owed = [row for row in recording.rows("allocator.outbox") if int(row["last_sequence"]) > published[row["side"], row["number"]]]
    assert {row["topic"] for row in owed} >= {topics.RESERVATIONS.name, topics.OUTCOMES.name, topics.ALLOCATIONS.name}
    statuses = {row["status"] for row in recording.rows("allocator.demand")}
    assert statuses >= {"lines", "trying", "waiting", "allocated", "closed", "released", "consumed"}
    assert recording.rows("orders.outbox")
    assert recording.rows("inventory.outbox")
