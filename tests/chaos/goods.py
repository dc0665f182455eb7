"""What is bought, and where it lies."""

from random import Random

from services.console.demo.plan import ANNEX, BINS, MAIN

SKUS = [f"SKU-{number:03}" for number in range(40)]
HOT = SKUS[:3]
IN_MAIN = [(MAIN, BINS[MAIN][0]), (MAIN, BINS[MAIN][1])]
PLACES = [*IN_MAIN, (ANNEX, BINS[ANNEX][0])]
WAIT_SECONDS = (0.02, 0.25)
"""How long a client thinks between two things."""


def lines_of(random: Random) -> dict[str, int]:
    """What an order wants: one to four SKUs, a few of them hot."""
    skus = {random.choice(HOT if random.random() < 0.3 else SKUS) for _ in range(random.randint(1, 4))}
    return {sku: random.randint(1, 5) for sku in sorted(skus)}
