"""All connections of one process that keep us waiting, whoever has done so longest first."""

from typing import Protocol


class Waiting(Protocol):
    """A connection that can be ended."""

    def cut(self, reason: str) -> None:
        """End it at once."""


class Crowd:
    """At most `most` connections of `service`. A client is not asked whether it is quiet, slow or hostile: who came first leaves first.

    Nothing that a client sends, but a whole request, gives it a later place; so a thousand slow ones can not keep a quick one out.
    """

    def __init__(self, service: str, most: int) -> None:
        self.service, self.most = service, most
        self._waiting: dict[Waiting, None] = {}

    def waits(self, connection: Waiting) -> None:
        """We wait for its client now, or still."""
        self._waiting.setdefault(connection)

    def forget(self, connection: Waiting) -> None:
        """We work for it, or it is over."""
        self._waiting.pop(connection, None)

    def make_room(self) -> bool:
        """Cut off whoever has kept us waiting longest. False where we work for all of them."""
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        self.forget(longest)
        longest.cut("too many connections")
        return True
