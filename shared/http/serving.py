"""How a service of the product listens: uvicorn with our limits on what clients may send, how slowly, and how many they may be."""

import logging
import resource
from functools import partial
from typing import Any

import uvicorn

from shared.http.connection import Connection
from shared.http.crowd import Crowd

KEEP_ALIVE_SECONDS = 30
STOP_SECONDS = 10
_OTHER_FILES = 500
"""What a process opens besides its clients' connections: Postgres, Kafka, logs."""
_TOLD_TO_THE_CLIENT = "Invalid HTTP request received."


def server(application: Any, service: str, *, host: str, port: int, most: int) -> uvicorn.Server:
    """The server of one process, not yet started. `most`: how many connections it may have."""
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        http=partial(Connection, Crowd(service, most)),  # type: ignore[arg-type]  # called as the class that it wants
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    return uvicorn.Server(config)


def allow_files(connections: int) -> None:
    """Let this process open as many files as that takes, where the system lets it: 1,024 is a usual limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _is_news(record: logging.LogRecord) -> bool:
    """Who sends what is no HTTP is told so, and counted; a line for each would let strangers fill the disk."""
    return record.getMessage() != _TOLD_TO_THE_CLIENT
