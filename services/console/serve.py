"""Run one service in this process: `python -m services.console.serve orders`. `allocator-2` is one more allocator, on its own port."""

import asyncio
import gc
import importlib
import logging
import sys

import uvicorn
import uvloop

from shared.kafka import KafkaUnreachable, WorldChanged
from shared.settings import Settings, settings
from shared.world import check

APPLICATIONS = {"orders": "services.orders.app", "inventory": "services.inventory.app", "allocator": "services.allocator.app"}

COLLECTOR_THRESHOLDS = (50_000, 20, 50)
"""A batch makes tens of thousands of small values and drops them at its end; the default of 700 would search all memory for cycles
several times a batch."""
REFUSED = 4
"""Exit status where the world is not the one that the database remembers: the log says what to do."""


def main() -> None:
    """Check the world, then serve until told to stop."""
    name = sys.argv[1]
    kind, _, copy = name.partition("-")
    found = settings()
    logging.basicConfig(level=found.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    module = importlib.import_module(APPLICATIONS[kind])
    tune_collector()
    port = getattr(found, f"{kind}_port") if not copy else 0
    try:
        uvloop.run(_serve(module.application(found), found, port))
    except (WorldChanged, KafkaUnreachable) as refusal:
        logging.getLogger("earmark").error("%s does not start: %s", name, refusal)
        sys.exit(REFUSED)


def tune_collector() -> None:
    """For a process that serves: what is imported by now is never searched, what a batch makes seldom."""
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


async def _serve(application: object, found: Settings, port: int) -> None:
    await check(found)
    config = uvicorn.Config(
        application,  # type: ignore[arg-type]  # an ASGI application; ours are wrapped
        host=found.host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = uvicorn.Server(config)
    await server.serve()
    if not server.started:
        await asyncio.sleep(0)
        sys.exit(3)


if __name__ == "__main__":
    main()
