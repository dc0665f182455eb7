"""Random stories, in the language of `stock_script`. A swarm: every seed draws what may happen and how often."""

from random import Random

DAYS = ["", "", " expires=2026-11-21 lot=L1", " expires=2026-11-22 lot=L2", " expires=2026-11-20 lot=L3"]
KINDS = ("receive", "adjust", "line", "chain", "release", "pick", "unpick", "consume", "activate", "reduce", "return", "wait")


class Story:
    """Commands of one seed about these SKUs."""

    def __init__(self, seed: int, skus: str = "A") -> None:
        self.random = random = Random(seed)
        self._orders = [f"o{number}" for number in range(random.choice((3, 6, 12)))]
        self._chains = [f"x{number}" for number in range(random.choice((0, 2, 5)))]
        self._warehouses = random.choice((["W"], ["W", "V"], ["W", "V", "N"]))
        self._fills = random.choice((["partial"], ["whole"], ["partial", "whole"]))
        self._days = random.choice(([""], DAYS))
        self._largest = random.choice((2, 5))
        self._weights = [random.choice((0, 1, 3)) for _ in KINDS]
        self._weights[:4] = [random.choice((1, 2)), random.choice((0, 1, 2)), 4, 3 if self._chains else 0]
        self._skus = skus
        self._batch = random.choice((1, 3, 8))
        self._length = random.choice((10, 40, 80))

    def batches(self) -> list[list[str]]:
        """The story: batches of commands."""
        return [self._one_batch() for _ in range(self._length)]

    def _one_batch(self) -> list[str]:
        commands = [self._command() for _ in range(self.random.randint(1, self._batch))]
        return [f"{command} sku={self.random.choice(self._skus)}" for command in commands]

    def _command(self) -> str:
        random = self.random
        kind = random.choices(KINDS, self._weights)[0]
        warehouse, units = random.choice(self._warehouses), random.randint(1, self._largest)
        if kind == "receive":
            return f"receive {warehouse} {units}{random.choice(('', ' bin=B2'))}{random.choice(self._days)}"
        if kind == "adjust":
            return f"adjust {warehouse} {random.randint(-self._largest, 2)}{random.choice(('', ' bin=B2'))}"
        if kind == "line":
            return self._line(units)
        if kind == "wait":
            return f"wait {random.choice((0, 0.1, 31, 31, 50_000))}"
        return self._about(kind, units, warehouse)

    def _line(self, units: int) -> str:
        random = self.random
        several = random.sample(self._warehouses, random.randint(1, len(self._warehouses)))
        strategy = random.choice(("fefo", "fifo", "lifo", "fewest_records"))
        wanted = f"{units} {random.choice(self._fills)} wh={','.join(several)}"
        return f"line {random.choice(self._orders)} {wanted} p={random.randint(0, 1)} by={strategy}"

    def _about(self, kind: str, units: int, warehouse: str) -> str:
        random = self.random
        if kind in ("release", "pick", "unpick", "consume") or not self._chains:
            verb = kind if kind in ("release", "pick", "unpick", "consume") else "pick"
            return f"{verb} {random.choice(self._orders + self._chains)}"
        name = random.choice(self._chains)
        if kind == "chain":
            return f"chain {name} {units} wh={warehouse}{random.choice(('', ' then=B'))} p={random.randint(0, 1)}"
        if kind == "return":
            return f"return {name} {random.choice(('ok', 'failed', 'none'))}"
        return f"reduce {name} {units}" if kind == "reduce" else f"activate {name}"
