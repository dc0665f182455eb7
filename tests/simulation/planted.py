"""All planted bugs, by their names: parts of the product with one rule left out each. They prove that the checks bite."""

from tests.simulation.demand_flaws import DEMAND_FLAWS
from tests.simulation.fence_flaws import FENCE_FLAWS
from tests.simulation.flaw import Flaw
from tests.simulation.joint_flaws import JOINT_FLAWS
from tests.simulation.log_flaws import LOG_FLAWS
from tests.simulation.queue_flaws import QUEUE_FLAWS
from tests.simulation.stock_flaws import STOCK_FLAWS

PARTS: dict[str, tuple[type[Flaw], ...]] = {
    "The fence": tuple(FENCE_FLAWS),
    "Batches that go together": tuple(JOINT_FLAWS),
    "The log": tuple(LOG_FLAWS),
    "Stock on hand and what lies behind reservations": tuple(STOCK_FLAWS),
    "Reservations and the queue at a SKU": tuple(QUEUE_FLAWS),
    "Demands": tuple(DEMAND_FLAWS),
}
"""As docs/planted-bugs.md has them."""
PLANTED: dict[str, type[Flaw]] = {one.__name__: one for part in PARTS.values() for one in part}
