"""The ports of the private servers: chosen once, free, and kept, so that settings written down yesterday still hold today."""

from __future__ import annotations

import json
import os
import random
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from shared.local.errors import PortTaken

# Below the ranges from which Linux, macOS and Windows draw the ports of outgoing connections: a port from there is free when we
# look and lent to somebody's connection when the server is started again.
CHOSEN_FROM = range(20_000, 30_000)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the servers of one data folder listen on 127.0.0.1."""

    kafka: int
    kafka_controller: int
    postgres: int


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        if os.name == "posix":
            # Connections of the last run linger for a minute; they do not keep a server from listening.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True


def require_free(server: str, port: int, stored_in: Path) -> None:
    """Raises PortTaken unless `server` could listen on `port` now."""
    if not is_free(port):
        raise PortTaken(server=server, port=port, path=stored_in)


def kept_ports(path: Path) -> Ports:
    """The ports that `path` holds; chosen and written there the first time, and again when the file is unreadable."""
    try:
        return Ports(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        ports = choose_ports()
    path.write_text(json.dumps(asdict(ports), indent=2) + "\n", encoding="utf-8")
    return ports


def choose_ports() -> Ports:
    """Three different ports that are free now."""
    return Ports(*free_ports(3))


def free_ports(count: int) -> list[int]:
    """So many different ports that are free now, drawn at random so that two folders seldom choose the same."""
    draw = random.SystemRandom()
    free: list[int] = []
    for port in draw.sample(CHOSEN_FROM, len(CHOSEN_FROM)):
        if is_free(port):
            free.append(port)
        if len(free) == count:
            break
    return free
