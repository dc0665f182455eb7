"""One client's connection: whoever keeps us waiting is cut off in time, and told why where that is possible.

uvicorn (0.54) has settings for what is quiet between two requests (`timeout_keep_alive`) and for requests beyond a number of connections
(`limit_concurrency`: so many idle clients would keep all others out). It has none for a head that does not come, a body that still comes
after its answer, an answer that nobody fetches, or for the connections themselves; its protocol class is the place that it leaves for that.
Where it gets such settings, this goes.
"""

import asyncio
import uuid
from enum import Enum, auto
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from shared import metrics
from shared.http.crowd import Crowd
from shared.http.parser import MAX_HEAD_BYTES, Parser
from shared.http.problems import Problem, unavailable

HEAD_SECONDS = 10.0
"""For a request's head, from its first byte on; for the first byte of a connection as well."""
LINGER_SECONDS = 5.0
"""What is sent on behind an answer is thrown away for so long: to close at once would take the answer away too (RFC 9112, 9.6)."""
FETCH_SECONDS = 30.0
"""For the client to take what we have written."""


class Stage(Enum):
    """What a connection is at. We are waited for while WORKING; in every other stage we wait for the client."""

    QUIET = auto()
    """Nothing of a request is here."""
    HEAD = auto()
    BODY = auto()
    WORKING = auto()
    REST = auto()
    """The answer is written, the body still comes."""
    LEAVING = auto()


class Connection(H11Protocol):
    """uvicorn's, with an end to every wait."""

    def __init__(self, crowd: Crowd, **given: Any) -> None:
        super().__init__(**given)
        self._crowd = crowd
        self._stage: Stage | None = None
        self._served = False
        self._overdue_at: asyncio.TimerHandle | None = None
        self._fetched_by: asyncio.TimerHandle | None = None
        self._parser = Parser()
        self.conn = self._parser

    # ---------------------------------------------------------------- what happens

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """One more client: another has to leave where there are too many."""
        super().connection_made(cast(asyncio.Transport, _Parting(transport, self)))
        if len(self.connections) > self._crowd.most and not self._crowd.make_room():
            self._stage = Stage.QUIET  # to linger with one who is turned away would be to keep it
            self._refuse(unavailable("all connections of this process are in use"))
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stage = Stage.LEAVING
        self._crowd.forget(self)
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client; of one whom nothing more is asked of they are thrown away."""
        if self._stage is not Stage.LEAVING:
            super().data_received(data)
            self._look(heard=True)

    def on_response_complete(self) -> None:
        """The answer is written."""
        self._served = True
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """The client is slow to take what we write."""
        super().pause_writing()
        self._fetched_by = self._fetched_by or self.loop.call_later(FETCH_SECONDS, self.cut, "answer not fetched")

    def resume_writing(self) -> None:
        """It has taken it."""
        super().resume_writing()
        if self._fetched_by is not None:
            self._fetched_by.cancel()
            self._fetched_by = None

    def shutdown(self) -> None:
        """Told by the server to end: an answer that is on its way still arrives, what comes behind it is not waited for."""
        if self._stage is not Stage.LEAVING:
            super().shutdown()
        elif not self.transport.get_write_buffer_size():
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's word for a request that is no HTTP."""
        fault = self._parser.fault
        status, reason = (fault.error_status_hint, str(fault)) if fault else (400, msg)
        if self.cycle is not None and not self.cycle.response_complete:  # it was reading a body that has gone wrong
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        remedy = f"send HTTP/1.1 with a head of at most {MAX_HEAD_BYTES} bytes, its length given once"
        self._refuse(Problem(status, "no_http", f"the request is not taken: {reason[:200]}", field="request", remedy=remedy))

    def _should_upgrade(self) -> bool:
        """Never: nothing but HTTP is spoken here. uvicorn would log twice for each who asks."""
        return False

    # ---------------------------------------------------------------- how it ends

    def cut(self, reason: str) -> None:
        """End it at once, whatever is on its way."""
        metrics.CONNECTIONS_CUT.labels(self._crowd.service, reason).inc()
        self.transport.abort()

    def part(self) -> None:
        """Instead of closing: say that nothing more comes, and let the client come to its end."""
        self._enter(Stage.LEAVING, LINGER_SECONDS)
        self.flow.resume_reading()

    @property
    def is_in_the_middle(self) -> bool:
        """Whether the client may still be sending."""
        return self.conn.their_state not in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED} and self._stage is not Stage.QUIET

    def _refuse(self, problem: Problem) -> None:
        """Answer outside of any request, if no answer has begun, and part."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            answer = problem.response(uuid.uuid4().hex)
            headers = [*answer.raw_headers, (b"connection", b"close")]
            for event in (h11.Response(status_code=problem.status, headers=headers), h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        metrics.CONNECTIONS_CUT.labels(self._crowd.service, problem.code).inc()
        self.transport.close()

    # ---------------------------------------------------------------- how long it may take

    def _look(self, heard: bool = False) -> None:
        """See at what it is by now, and how long that may take."""
        if self._stage is not Stage.LEAVING and (stage := self._present(heard)) is not self._stage:
            self._enter(stage, self._seconds(stage))

    def _present(self, heard: bool) -> Stage:
        if self.transport.is_closing():
            return Stage.LEAVING
        if self.cycle is not None and not self.cycle.response_complete:
            return Stage.BODY if self.cycle.more_body else Stage.WORKING
        if self.conn.their_state is h11.SEND_BODY:
            return Stage.REST
        return Stage.HEAD if heard or self._stage is Stage.HEAD else Stage.QUIET

    def _seconds(self, stage: Stage) -> float | None:
        """A body that is read has its limit where it is read; so has work."""
        match stage:
            case Stage.QUIET:
                return self.timeout_keep_alive if self._served else HEAD_SECONDS
            case Stage.HEAD:
                return HEAD_SECONDS
            case Stage.REST:
                return LINGER_SECONDS
            case Stage.LEAVING:
                return FETCH_SECONDS
            case _:
                return None

    def _enter(self, stage: Stage, seconds: float | None) -> None:
        self._stage = stage
        if self._overdue_at is not None:
            self._overdue_at.cancel()
        self._overdue_at = self.loop.call_later(seconds, self._overdue) if seconds is not None else None
        if stage is Stage.WORKING:
            self._crowd.forget(self)
        else:
            self._crowd.waits(self)

    def _overdue(self) -> None:
        if self._stage is Stage.HEAD:
            detail = f"the head of the request did not arrive within {HEAD_SECONDS:g} seconds"
            self._refuse(Problem(408, "slow_head", detail, field="request", remedy="send it again"))
        elif self._stage is Stage.QUIET:
            self.transport.close()
            self._look()
        elif self._stage is Stage.REST:
            self.cut("body behind its answer")
        else:
            self.transport.abort()

    def _disarm(self) -> None:
        for timer in (self._overdue_at, self._fetched_by):
            if timer is not None:
                timer.cancel()


class _Parting:
    """The transport as uvicorn uses it. To close it is to part: while a client still sends, the end of the answer is told first."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport, self._connection = transport, connection
        self._parting = False

    def __getattr__(self, name: str) -> Any:  # whatever else a transport can do
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more is written."""
        return self._parting or self._transport.is_closing()

    def close(self) -> None:
        """As above; the second time at once."""
        if self._parting or self._transport.is_closing() or not self._connection.is_in_the_middle:
            self._transport.close()
        else:
            self._parting = True
            self._transport.write_eof()
            self._connection.part()
