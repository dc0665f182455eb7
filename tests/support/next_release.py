"""A fork server of what the next release may be, whose processes run beside today's: it knows one more migration, its batches bear its
version, and everything that it tells has one more header, as any reader must allow."""

from typing import Any

from services.console.fork_server import main
from services.console.leaving import leave
from shared import database
from shared.partitions import partition
from shared.schemas import wire
from tests.support.migrations import NEXT

VERSION = "0.2.0"
HEADER = "earmark_version"
MODULE = "tests.support.next_release"
_headers = wire.headers


def _more_headers(*given: Any) -> wire.Headers:
    return (*_headers(*given), (HEADER, VERSION.encode()))


if __name__ == "__main__":
    database.code_revision = lambda: int(NEXT)  # type: ignore[assignment]  # no cache around it
    partition.CODE_VERSION = VERSION
    wire.headers = _more_headers  # type: ignore[assignment]  # whatever it is given, it passes on
    main()
    leave(0)
