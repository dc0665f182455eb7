"""A short story that leaves something of everything in the ledger: units reserved, waiting, flagged and consumed, refused commands, a dead
letter. Told in three parts; each should have come to rest before the next."""

from shared.schemas.topics import ORDERS
from shared.schemas.values import AdjustmentReason, Fill, Wish
from tests.support.allocator import Channel, adjustment, order, receipt


async def stock_comes_and_orders(shop: Channel) -> None:
    """Everybody gets all."""
    await shop.say(receipt("r-1", "MUG", 10), receipt("r-2", "MUG", 2, bin="B-2"), receipt("r-3", "CUP", 5), receipt("r-4", "LEG", 1))
    await shop.say(order("whole", {"MUG": 6}), order("gone", {"MUG": 3}), order("over", {"CUP": 5}))


async def orders_wait_and_one_is_picked(shop: Channel) -> None:
    """There is not enough for two; the goods of a third are fetched."""
    await shop.say(order("waits", {"MUG": 8}), order("short", {"LEG": 4}, fill=Fill.ALL_OR_NOTHING))
    await shop.say(order("gone", {"MUG": 3}, version=2, wish=Wish.PICKING))


async def goods_leave_and_are_lost(shop: Channel) -> None:
    """The third is shipped, some of a fourth break, and more are lost than there are; somebody says what nobody understands."""
    await shop.say(order("gone", {"MUG": 3}, version=3, wish=Wish.CONSUMPTION))
    await shop.say(adjustment("a-1", "CUP", -2, AdjustmentReason.DAMAGED), adjustment("a-2", "CUP", -9, AdjustmentReason.LOST))
    await shop.say_bytes(ORDERS.name, 0, b"no order")


STORY = (stock_comes_and_orders, orders_wait_and_one_is_picked, goods_leave_and_are_lost)
