"""Run one service in this process: `python -m services.console.serve orders`. `allocator-2` is one more allocator, on its own port."""

import asyncio
import gc
import importlib
import logging
import os
import sys

import uvloop

from services.console.errors import ConsoleError
from services.console.failures import sentence
from services.console.leaving import leave
from shared.partitions.crash import arm
from shared.settings import Settings, settings
from shared.world import check

APPLICATIONS = {"orders": "services.orders.app", "inventory": "services.inventory.app", "allocator": "services.allocator.app"}

COLLECTOR_THRESHOLDS = {"allocator": (1_000_000, 20, 50)}
SPARING_THRESHOLDS = (50_000, 20, 50)
"""What a batch makes dies with it; the default of 700 would search all memory for cycles several times a batch. The allocator keeps a
million small values of recent demands besides, which would be walked through soon after they were made (a tenth of its time)."""
REFUSED = 4
"""Exit status where the service can not start as things are, mostly because of the world around it: the log says what to do."""


class ServiceUnknown(ConsoleError):
    """There is no such service. Name orders, inventory or allocator, or one more allocator such as allocator-2."""


def main() -> None:
    """Check the world, then serve until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    name = " ".join(sys.argv[1:])
    try:
        _run(name)
    except Exception as refusal:
        if (told := sentence(refusal)) is None:
            raise
        logging.getLogger("earmark").error("%s does not start: %s", name or "nothing", told)
        sys.exit(REFUSED)


def _run(name: str) -> None:
    if name.partition("-")[0] not in APPLICATIONS:
        raise ServiceUnknown(f"name a service, {', '.join(APPLICATIONS)}, or one more of a kind, such as allocator-2")
    arm(os.environ)
    serve(name, settings())


def serve(name: str, found: Settings) -> None:
    """Serve in this process until told to stop. One more of a kind takes any free port: the first has the service's own."""
    kind, _, copy = name.partition("-")
    logging.getLogger().setLevel(found.log_level)
    gc.disable()  # what is imported stays, and to look for what does not took a tenth of it
    module = importlib.import_module(APPLICATIONS[kind])
    tune_collector(kind)
    uvloop.run(_serve(module.application(found), found, kind, 0 if copy else getattr(found, f"{kind}_port")))


def tune_collector(kind: str) -> None:
    """For a process that serves: what is imported by now is never searched, what a batch makes seldom."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(*COLLECTOR_THRESHOLDS.get(kind, SPARING_THRESHOLDS))


async def _serve(application: object, found: Settings, kind: str, port: int) -> None:
    from shared.http.serving import allow_files, server  # behind gc.disable, as all that a service is made of

    await check(found)
    allow_files(found.max_connections)
    listening = server(application, kind, host=found.host, port=port, most=found.max_connections)
    await listening.serve()
    if not listening.started:
        await asyncio.sleep(0)
        sys.exit(3)


if __name__ == "__main__":
    main()
    leave(0)
