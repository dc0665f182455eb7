"""What the people around the allocator do in this seed, and how often."""

from dataclasses import dataclass, replace
from random import Random

from shared.schemas.values import Fill


@dataclass(frozen=True, slots=True)
class Habits:
    """What the people of this seed do, and how often."""

    orders: int
    doings: int
    merchants: tuple[str, ...]
    skus: tuple[str, ...]
    warehouses: tuple[str, ...]
    bins: int
    lots: bool
    fills: tuple[Fill, ...]
    most_units: int
    rich: int
    weights: dict[str, float]
    wild: float


def habits(random: Random) -> Habits:
    """Drawn from the seed. In some, everybody wants the same."""
    drawn = _drawn(random)
    return _crowd(random, drawn) if random.random() < CROWDS else drawn


CROWDS = 0.1


def _crowd(random: Random, drawn: Habits) -> Habits:
    """Many for one SKU or two, who wait whole or in part, are woken, come and go while goods arrive: those behind live on what the
    claims of those before them leave."""
    weights = {"edit": 0.5, "cancel": 1.5, "release": 0.3, "receive": 4, "adjust": 0.3}
    return replace(
        drawn,
        orders=40,
        doings=80,
        merchants=("acme",),
        skus=drawn.skus[: random.randint(1, 2)],
        warehouses=("w0", "w1"),
        fills=(Fill.PARTIAL, Fill.WHOLE_LINES, Fill.ALL_OR_NOTHING, Fill.ALL_OR_NOTHING),
        rich=random.choice((0, 2)),
        weights=drawn.weights | weights,
    )


def _drawn(random: Random) -> Habits:
    one_of = random.choice
    apart = one_of(((Fill.PARTIAL,) * 3, (Fill.WHOLE_LINES,) * 3, (Fill.PARTIAL, Fill.WHOLE_LINES)))
    fills = one_of((apart, (*apart, Fill.ALL_OR_NOTHING), (*apart[:1], Fill.ALL_OR_NOTHING), (Fill.ALL_OR_NOTHING,)))
    weights = {
        "edit": one_of((0, 1, 4)), "cancel": one_of((0, 0.3, 1)), "release": one_of((0, 0.3)), "receive": one_of((0.5, 1, 3)),
        "adjust": one_of((0, 0.5, 2)), "pick": one_of((0, 1, 3)), "ship": one_of((0, 1, 2)), "unpick": one_of((0, 0.5, 1)),
        "repeat": one_of((0, 0.5)), "twist": one_of((0, 0, 0.3)),
    }  # fmt: skip
    return Habits(
        orders=one_of((3, 5, 8, 8, 12, 12, 20)),
        doings=one_of((0, 5, 20, 40, 80)),
        merchants=one_of((("acme",), ("acme",), ("acme",), ("acme",), ("acme", "zen"))),
        skus=tuple(f"SKU {number}" for number in range(random.randint(1, 5))),
        warehouses=tuple(f"w{number}" for number in range(one_of((1, 1, 2, 3)))),
        bins=random.randint(1, 2),
        lots=random.random() < 0.2,
        fills=fills,
        most_units=one_of((2, 3, 5)),
        rich=one_of((0, 1, 2, 4, 12)),
        weights=weights,
        wild=one_of((0, 0, 0.2)),
    )
