"""What was said and has not arrived: it comes late, out of order, more than once, and between records that nobody can take."""

from typing import TYPE_CHECKING

from shared.schemas import topics, wire
from shared.schemas.commands import InventoryCommand
from shared.schemas.events import AllocationRunChanged, OrderChanged
from shared.schemas.wire import Envelope, Record
from tests.simulation.failed import Failed
from tests.simulation.poison import poison

if TYPE_CHECKING:
    from tests.simulation.world import World


class Post:
    """Between everybody outside and Kafka. `poisoned`: how many bad records were sent."""

    def __init__(self, world: "World") -> None:
        self.world, self.random = world, world.random
        self.poisoned = self._number = 0
        self._traces: dict[tuple[str, int], str | None] = {}
        self._on_its_way: list[tuple[str, str, Record]] = []

    def say(self, topic: str, key: str, message: InventoryCommand | OrderChanged | AllocationRunChanged) -> None:
        """Put a message on its way."""
        self._number += 1
        self.world.say("said", message)
        trace = f"00-{self._number:032x}-{self._number:016x}-01" if self._number % 3 == 0 else None
        if isinstance(message, OrderChanged):
            self._traces[message.demand.id, message.demand.version] = trace
        record = wire.encode(message, key=key, envelope=Envelope("outside", self._number), time=self.world.clock(), traceparent=trace)
        self._on_its_way.append((topic, key, record))

    def trace_of(self, demand: str, version: int) -> str | None:
        """The trace that this version was said in, if any."""
        if (demand, version) not in self._traces:
            raise Failed(f"a version is answered that nobody said: {version} of {demand}")
        return self._traces[demand, version]

    def silence(self, demand: str) -> None:
        """What was said of a demand and has not arrived never will."""
        self._on_its_way = [one for one in self._on_its_way if (one[0], one[1]) != (topics.ORDERS.name, demand)]

    def deliver(self, *, faults: bool) -> bool:
        """One message that is on its way reaches Kafka, perhaps to come again."""
        if not self._on_its_way:
            return False
        random, waiting = self.random, self._on_its_way
        index = random.randrange(len(waiting))
        topic, key, record = waiting[index]
        if faults and random.random() < self.world.swarm.repeat:
            self.world.count("fault", "message that comes again")
        else:
            waiting[index] = waiting[-1]
            waiting.pop()
        count = self.world.counts[topic]
        partition = wire.partition_of(key, count)
        if faults and random.random() < self.world.swarm.poison:
            self._spoil(topic, partition, record)
        self.world.kafka.append((topic, partition), record)
        return True

    def _spoil(self, topic: str, partition: int, record: Record) -> None:
        """A record that nobody can take comes before a good one: unreadable, or in another partition than its key's."""
        self.poisoned += 1
        count = self.world.counts[topic]
        if count > 1 and wire.key_of(self._read(record)) is not None and self.random.random() < 0.1:
            self.world.count("fault", "record in another partition than its key's")
            self.world.kafka.append((topic, (partition + 1) % count), record)
        else:
            self.world.count("fault", "unreadable record")
            self.world.kafka.append((topic, self.random.randrange(count)), poison(self.random, record))

    @staticmethod
    def _read(record: Record) -> object:
        kinds = {"order_changed", "allocation_run_changed", "receive_stock", "adjust_stock"}
        return wire.decode(record.value, wire.header_map(record.headers), kinds)[0]
