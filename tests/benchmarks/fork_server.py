"""The process behind those of a stand, forked as `earmark up` forks services. It knows one more: `stock`, the allocator's stock partitions
alone, which the benchmark of the stock side measures."""

import asyncio
import logging
import signal
import sys
from contextlib import suppress

import uvloop

from services.allocator.app import partition_process
from services.console import fork_server, serve
from services.console.leaving import leave
from shared.settings import settings

_service = serve.main


def _stock() -> None:
    logging.basicConfig(level="WARNING")
    serve.tune_collector("allocator")
    uvloop.run(_serve_stock())


async def _serve_stock() -> None:
    """Until it is told to stop, in order: a member that goes without a word keeps the next one waiting for its partitions."""
    serving = asyncio.create_task(partition_process(settings(), sides=("stock",)).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving


def _named() -> None:
    (_stock if sys.argv[1] == "stock" else _service)()


if __name__ == "__main__":
    serve.main = _named
    fork_server.main()
    leave(0)
