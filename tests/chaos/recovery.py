"""How long state partitions stood still after their allocator died: until the first batch of the next owner."""

from dataclasses import dataclass
from datetime import datetime

from tests.chaos.stage import Death, Stage

WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of one state partition. `undisturbed`: nothing else suffered between the death and the first batch."""

    partition: str
    seconds: float
    undisturbed: bool


async def recoveries(stage: Stage) -> list[Recovery]:
    """Of every partition of every allocator that was killed. One without a later batch had nothing to do and is left out."""
    query = "SELECT min(logical_time) FROM allocator.batch WHERE side = $1 AND number = $2 AND epoch > $3 AND logical_time > $4"
    found = []
    async with stage.connected() as connection:
        for death in stage.deaths:
            for (side, number), epoch in death.partitions.items():
                served_at: datetime | None = await connection.fetchval(query, side, number, epoch, death.at)
                if served_at is not None:
                    seconds = (served_at - death.at).total_seconds()
                    found.append(Recovery(f"{side}/{number}", seconds, _is_undisturbed(stage, death, served_at)))
    return found


def _is_undisturbed(stage: Stage, death: Death, until: datetime) -> bool:
    others = [other for other in stage.deaths if other is not death and death.at <= other.at <= until]
    return not others and not any(began <= until and ended >= death.at for began, ended in stage.disturbed)
