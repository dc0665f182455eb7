"""What of HTTP is taken: a head of limited size, and a body whose length is said once.

h11 does the rest. It has no setting for these two: its `max_incomplete_event_size` is for heads that come in pieces, and one that is read
at once may have a quarter of a megabyte.
"""

from typing import Any

import h11

MAX_HEAD_BYTES = 32 * 1024


class Parser(h11.Connection):
    """Our side of one connection. `fault`: why the request was not taken."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self.fault: h11.RemoteProtocolError | None = None

    def next_event(self) -> Any:
        """As h11's. Raises RemoteProtocolError."""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                _require_sound(event)
        except h11.RemoteProtocolError as fault:
            self.fault = fault
            raise
        return event


def _require_sound(request: h11.Request) -> None:
    """h11 takes a body's length from Transfer-Encoding where Content-Length says another; a proxy before us may take the other one, and
    what lies between the two would be a request that nobody sent (RFC 9112, 6.1)."""
    size = len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
    if size > MAX_HEAD_BYTES:
        raise h11.RemoteProtocolError(f"its head has more than {MAX_HEAD_BYTES} bytes", error_status_hint=431)
    names = {name for name, _ in request.headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        raise h11.RemoteProtocolError("it has both Content-Length and Transfer-Encoding")
