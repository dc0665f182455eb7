"""The outbox of an HTTP service and the relay that publishes it. Knows entities, topics and order; no business.

    outbox = Outbox("orders", settings.relay_shards)
    await outbox.append(connection, at, Outgoing(entity=order_id, topic=ORDERS.name, key=demand_id, message=OrderChanged(…)))

`append` belongs into the transaction of the command, after the entity's row was locked: then the ids of one entity rise in the order
of its commits. A `Relay` that `follow`s the pool is woken when the transaction has ended, by NOTIFY where another process holds the
shard; it publishes what is visible in id order, one lock holder per shard, and deletes it. No other code of an HTTP process publishes.
Readers keep the highest version of each entity: repeats are possible, between entities no order is promised.
"""

from shared.relay.outbox import MessageTooLarge, Outbox, Outgoing
from shared.relay.relay import Relay

__all__ = ["MessageTooLarge", "Outbox", "Outgoing", "Relay"]
