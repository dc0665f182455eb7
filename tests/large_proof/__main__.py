"""`make large-proof`: the books proved at size. Orders go through the whole system until it holds so many reservations, and the topics
all that was said of them; then `earmark verify --from-log` runs as anybody would run it, while more orders come. Says what it took.
"""

import argparse
import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop

from shared.schemas import topics
from shared.schemas.wire import Record
from tests.benchmarks.allocator_flow import SHOWN, orders, shown
from tests.benchmarks.measuring import peak_memory_mib
from tests.benchmarks.stand import Stand, stand
from tests.support.beside import beside
from tests.support.servers import Servers, real_servers

RESERVATIONS, LINES = 10_000_000, 20
AT_ONCE = 2_000
"""Orders that are written together; the ones before the last are waited for."""
BESIDE_PER_SECOND = 20
LOOK_SECONDS = 0.2
VERIFY = (sys.executable, "-m", "services.console", "verify", "--from-log")
_RESERVATIONS = "SELECT count(*) FROM allocator.reservation WHERE reserved_units > 0"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a run of the proof took. `beside`: orders that went through meanwhile."""

    status: int
    seconds: float
    memory_mib: float
    reservations: int
    beside: int


async def prove(servers: Servers, reservations: int) -> Proof:
    """Fill, then prove."""
    async with stand(servers.postgres_dsn, servers.kafka_bootstrap) as here:
        for name in ("allocator", "allocator-2", "orders", "inventory"):
            here.start(name)
        await here.fill_shelves()
        work = orders(LINES)
        await _fill(here, work, reservations // LINES)
        before = await here.ask(SHOWN)
        async with beside(_keep_coming(here, work)):
            status, seconds, memory_mib = await _verified(here)
        return Proof(status, seconds, memory_mib, await here.ask(_RESERVATIONS), await here.ask(SHOWN) - before)


async def _fill(here: Stand, work: Iterator[tuple[int, Record]], wanted: int) -> None:
    began = time.monotonic()
    for written in range(0, wanted, AT_ONCE):
        await here.write(topics.ORDER_INTAKE, [next(work) for _ in range(min(AT_ONCE, wanted - written))])
        await shown(here, written)
        if written % (25 * AT_ONCE) == 0:
            print(f"  {written * LINES:,} reservations after {time.monotonic() - began:.0f} s", flush=True)
    await shown(here, wanted)
    print(f"  {wanted * LINES:,} reservations after {time.monotonic() - began:.0f} s", flush=True)


async def _keep_coming(here: Stand, work: Iterator[tuple[int, Record]]) -> None:
    while True:
        await here.write(topics.ORDER_INTAKE, [next(work)])
        await asyncio.sleep(1 / BESIDE_PER_SECOND)


async def _verified(here: Stand) -> tuple[int, float, float]:
    """Its exit status, how many seconds it took, and the most memory that it had in use, in MiB."""
    given = {"EARMARK_KAFKA": here.settings.bootstrap, "EARMARK_POSTGRES": here.settings.dsn}
    began, memory_mib = time.monotonic(), 0.0
    process = subprocess.Popen(VERIFY, env=os.environ | given)
    while process.poll() is None:
        with suppress(ValueError):  # it has just ended
            memory_mib = max(memory_mib, peak_memory_mib(process.pid))
        await asyncio.sleep(LOOK_SECONDS)
    return process.returncode, time.monotonic() - began, memory_mib


def main() -> int:
    """Parse, fill, prove, tell."""
    parser = argparse.ArgumentParser(prog="make large-proof", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reservations", type=int, default=RESERVATIONS, help="how many (ten million; filling alone takes 15 to 25 minutes)"
    )
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells every leader it has to look up
    with tempfile.TemporaryDirectory() as folder, real_servers(Path(folder)) as servers:
        proof = uvloop.run(prove(servers, options.reservations))
    said = "not proved: it ended after" if proof.status else "proved in"
    print(
        f"{proof.reservations:,} reservations {said} {proof.seconds:.0f} s with {proof.memory_mib:.0f} MiB; "
        f"{proof.beside:,} orders went through meanwhile"
    )
    return proof.status


if __name__ == "__main__":
    sys.exit(main())
