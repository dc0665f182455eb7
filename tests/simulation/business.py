"""What a simulated installation is about, as the world sees it."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from shared.partitions.memory import MemoryPartitionStore
from shared.partitions.model import InputRecord, PartitionId
from shared.partitions.ports import Side

Tally = Counter[tuple[str, str]]
"""(group, what) to times. Groups: `work`, `fault`, what people were `doing`, what was `said`, any other `event`."""


class Business(Protocol):
    """What the simulated installation is about."""

    def inputs(self, partition: PartitionId) -> tuple[str, ...]:
        """The topics that a partition reads."""

    def keep(self) -> timedelta:
        """How long is remembered what has ended."""

    def step_bound(self) -> int:
        """More steps than this a drain must not take."""

    def side(self, partition: PartitionId, store: MemoryPartitionStore) -> Side:
        """A fresh side over a connection."""

    def input(self) -> bool:
        """Somebody does something: an order, a receipt, an edit. False when nothing more will be done."""

    def deliver(self, *, faults: bool) -> bool:
        """One message on its way reaches Kafka, perhaps twice. False if none is on its way."""

    def appended(self, record: InputRecord) -> None:
        """A record reached Kafka."""

    def check_committed(self, staged: Mapping[str, Mapping[Any, Any]]) -> None:
        """After every transaction that took effect."""

    def check_quiet(self) -> None:
        """When everything has drained."""

    def disturb_quiet(self) -> bool:
        """One more small thing happens to the quiet system. False when that was enough."""
