"""The fold of one batch: (state, messages, logical time) to messages to send.

The sends depend on the stored state, the messages and the time only. What is published of a demand is decided at the end of the batch,
so that many outcomes for one demand make one event.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from services.allocator.core.demand import attempts, forgetting, picking
from services.allocator.core.demand.state import Baton, DemandState, Picking, Status
from services.allocator.core.demand.telling import tell
from services.allocator.core.policy import PolicySettings, Terms, Timing, resolve, wish_of
from shared.schemas.events import Demand, DemandEvent, Forgotten, OrderChanged, Outcome, Wake
from shared.schemas.values import Wish


class ForgottenDemand(Exception):
    """The stock side knows more than this database, which was lost or is an old backup: follow docs/runbooks.md#forgotten-demand."""


class Trace(NamedTuple):
    """Comes straight behind a version of a demand that belongs to a trace (W3C Trace Context)."""

    demand: str
    version: int
    traceparent: str


@dataclass(slots=True)
class DemandFold:
    """One batch. `states` must hold every demand that its messages name and that exists; new ones are added. `changed` collects, in
    the order of the messages, those to save; `waiting`, at the end, those of them whose lines are not all answered; `gone`, those to
    remove. `traces`: demand to the trace that what is told of it belongs to."""

    states: dict[str, DemandState]
    now: datetime
    policy: PolicySettings
    timing: Timing
    sends: list[Any] = field(default_factory=list)
    changed: dict[str, DemandState] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    traces: dict[str, str] = field(default_factory=dict)
    gone: dict[str, DemandState] = field(default_factory=dict)

    def fold(self, messages: Iterable[DemandEvent | Trace]) -> None:
        """Take the messages in order."""
        for message in messages:
            if isinstance(message, Outcome):
                self._outcome(message)
            elif isinstance(message, Wake):
                self._wake(message)
            elif isinstance(message, Forgotten):
                self._forgotten(message)
            elif isinstance(message, OrderChanged):
                self._demand(message.demand)
            else:
                self._trace(message)

    def expire(self, due: Sequence[str]) -> None:
        """Take the deadlines of these demands, which have passed."""
        for demand in due:
            state = self.states[demand]
            assert state.deadline_at is not None, demand
            assert state.deadline_at <= self.now, demand
            self.changed[demand] = state
            if state.status is Status.TRYING:
                attempts.expire(state, self.timing, self.now, self.sends)
            else:
                assert state.status is Status.BACKOFF, state.status
                attempts.again(state, self.timing, self.now, self.sends)

    def forget(self, ended: Iterable[str]) -> None:
        """These demands ended longer ago than anybody may still speak of them."""
        for demand in ended:
            state = self.states[demand]
            self.changed[demand] = state
            forgetting.begin(state, self.sends)
            self._remove_if_forgotten(state)

    def tell(self) -> None:
        """At the end: take the steps towards leaving that are possible now, and publish what is decided and new."""
        for demand in self.gone:
            self.changed.pop(demand, None)
        for state in self.changed.values():
            if state.status is Status.FORGETTING:
                continue
            if state.picking is not Picking.NONE and not state.ended:
                picking.advance(state, self.now, self.sends)
            answered = state.answered()
            if not answered and state.status is Status.LINES:
                self.waiting.add(state.id)
            event = tell(state, self.now, answered=answered)
            if event is not None:
                self.sends.append(event)
                if state.traceparent:
                    self.traces[state.id] = state.traceparent

    # ---------------------------------------------------------------- the demand itself

    def _demand(self, demand: Demand) -> None:
        """Highest version wins; the rest, repeats and overtaken ones, is ignored."""
        state = self.states.get(demand.id)
        if state is not None and demand.version <= state.version:
            return
        terms = resolve(demand, self.policy)
        if state is None:
            state = self.states[demand.id] = DemandState(demand.id, demand.merchant, terms)
        self.changed[demand.id] = state
        state.version, state.traceparent = demand.version, ""
        if state.ended:
            return
        wish = wish_of(demand, self.policy)
        if state.picking is Picking.CONSUMING and wish is not Wish.CLOSED:
            picking.wish_while_leaving(state, wish)
            return
        state.refusals = {}
        if wish is Wish.CLOSED:
            state.terms = self._closed(state, terms)
        elif wish is Wish.NOTHING:
            self._let_go(state, wish, Status.RELEASED)
            state.terms = terms
        else:
            self._wanted(state, wish, terms)

    def _trace(self, trace: Trace) -> None:
        """Of a version that this batch took: what is not saved must not differ from what is stored."""
        state = self.changed.get(trace.demand)
        if state is not None and state.version == trace.version:
            state.traceparent = trace.traceparent

    def _closed(self, state: DemandState, terms: Terms) -> Terms:
        """Lets go for good, and says on which terms: those of this version, unless goods have begun to leave on the ones before."""
        leaves = state.picking is Picking.CONSUMING or any(outcome.consumed_units for outcome in state.seen.values())
        self._let_go(state, Wish.CLOSED, Status.CLOSED)
        return state.terms if leaves else terms

    def _let_go(self, state: DemandState, wish: Wish, status: Status) -> None:
        state.wish, state.picking = wish, Picking.NONE
        attempts.let_go(state, status, self.sends)

    def _wanted(self, state: DemandState, wish: Wish, terms: Terms) -> None:
        if state.status is Status.RELEASED or terms != state.terms:
            attempts.ask(state, terms, self.timing, self.now, self.sends)
            state.picking = Picking.NONE  # adopting takes every mark off
        state.wish = wish
        picking.wish_changed(state, self.sends)

    # ---------------------------------------------------------------- from the stock side

    def _outcome(self, outcome: Outcome) -> None:
        """Per row, the highest (attempt, version) counts. What it says about an older attempt is remembered and not acted on."""
        attempt = outcome.attempt
        state = self._known(outcome.demand, attempt)
        row = outcome.sku, outcome.alternative
        before = state.seen.get(row)
        if before is not None and (attempt, outcome.version) <= (before.attempt, before.version):
            return
        self.changed[state.id] = state
        plain = outcome.shortage is None and (before is None or before.shortage is None)
        state.seen[row] = outcome if plain else _with_shortage(outcome, before)
        if state.releasing:
            _confirm_release(state, outcome)
        if outcome.note is None or attempt != state.attempt or state.ended:
            return
        if outcome.note == "complete":
            if state.status is Status.TRYING:
                attempts.succeed(state, self.sends)
        elif outcome.note == "short":
            if state.status is Status.TRYING:
                attempts.fall_short(state, row, self.sends)
        else:
            picking.refused(state, outcome, self.sends)

    def _wake(self, wake: Wake) -> None:
        """Start the attempt, or return the baton at once: closed, edited, already trying (184)."""
        state = self._known(wake.demand, wake.attempt)
        self.changed[state.id] = state
        baton = Baton((wake.sku, wake.alternative), wake.baton)
        if state.status is Status.WAITING and baton.row in state.waiting_at and wake.attempt == state.attempt:
            state.batons = (baton,)
            attempts.again(state, self.timing, self.now, self.sends)
        else:
            self.sends.append(attempts.baton_return(state, baton, None))

    def _forgotten(self, forgotten: Forgotten) -> None:
        state = self._known(forgotten.demand, forgotten.attempt)
        self.changed[state.id] = state
        forgetting.confirmed(state, (forgotten.sku, forgotten.alternative))
        self._remove_if_forgotten(state)

    def _remove_if_forgotten(self, state: DemandState) -> None:
        if not state.seen:
            self.gone[state.id] = state

    def _known(self, demand: str, attempt: int) -> DemandState:
        state = self.states.get(demand)
        if state is None or attempt > state.attempt:
            known = "nothing" if state is None else f"attempt {state.attempt}"
            raise ForgottenDemand(f"{demand}: attempt {attempt} is answered, {known} is known. {ForgottenDemand.__doc__}")
        return state


def _confirm_release(state: DemandState, outcome: Outcome) -> None:
    row = outcome.sku, outcome.alternative
    told = state.releasing.get(row)
    if told is None or outcome.attempt < told:
        return
    if outcome.attempt > told or not (outcome.reserved_units or outcome.waiting_units):
        del state.releasing[row]


def _with_shortage(outcome: Outcome, before: Outcome | None) -> Outcome:
    """The last explanation of a shortage stays as long as something waits or is flagged, also over outcomes that bring none."""
    if not outcome.waiting_units and not outcome.flagged_units:
        return outcome if outcome.shortage is None else outcome.but(shortage=None)
    if outcome.shortage is not None or before is None or before.shortage is None:
        return outcome
    return outcome.but(shortage=before.shortage)
