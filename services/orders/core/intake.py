"""What a channel's view of an order makes of ours: the order made, edited, canceled; or nothing, when it is old or no news."""

from datetime import datetime
from typing import cast

from services.orders.core.commands import CancelOrder, CreateOrder, EditOrder
from services.orders.core.decider import create, decide
from services.orders.core.model import Changed, DetailChanges, Details, Key, Order, OrderStatus, Refused
from shared.schemas.intake import OrderIntake
from shared.schemas.message import Value

BY = "order-intake"


def key_of(message: OrderIntake) -> Key:
    """Which order the message is about."""
    return Key(message.merchant, message.number)


class Unchanged(Value, frozen=True):
    """The channel said nothing new, in a version that nobody has heard of. `order` remembers that version: an older one that comes later
    must not be taken for news."""

    order: Order


def take_in(present: Order | None, message: OrderIntake, digest: str, now: datetime) -> list[Changed] | Unchanged | Refused:
    """The changes that bring our order to the channel's view of it. `digest` is over the message: it tells a repeat from other content.

    Refused: what the order's status forbids, and a number that did not come from a channel. A refused version is not remembered, so that
    it may be tried again.
    """
    if present is None:
        return _make(message, digest, now)
    if present.channel_version is None:
        detail = "the order of this number is edited here: it was made over HTTP, or has been split"
        return Refused("not_the_channels", detail, "give a new order another number; edit this one over HTTP", "number")
    if message.version < present.channel_version or digest == present.digest:
        return []
    if message.version == present.channel_version:
        return Refused("other_content", "this version of the order came before with other content", "raise the version", "version")
    return _bring_up(present, message, digest, now)


def details_of(message: OrderIntake) -> Details:
    """What the message says of the order."""
    return Details(
        lines=message.lines,
        demanded_at=message.demanded_at,
        fill=message.fill,
        strategy=message.strategy,
        priority=message.priority,
        warehouses=message.warehouses,
        channel=message.channel,
        country=message.country,
        receiver=message.receiver,
        tags=message.tags,
        value_minor_units=message.value_minor_units,
        currency=message.currency,
    )


def _make(message: OrderIntake, digest: str, now: datetime) -> list[Changed] | Refused:
    allocate = message.allocate and not message.canceled
    made = create(
        CreateOrder(
            key=key_of(message),
            details=details_of(message),
            allocate=allocate,
            digest=digest,
            channel_version=message.version,
            by=BY,
        ),
        now,
    )
    if isinstance(made, Refused) or not message.canceled:
        return made if isinstance(made, Refused) else [made]
    canceled = decide(made.order, CancelOrder(reason=message.reason, by=BY), now)
    assert isinstance(canceled, Changed), "a new order can be canceled"
    return [made, canceled]


def _bring_up(present: Order, message: OrderIntake, digest: str, now: datetime) -> list[Changed] | Unchanged | Refused:
    edited = _edit(present, message, now)
    if message.canceled:
        if present.status is OrderStatus.CANCELED:
            return Unchanged(_known(present, message, digest))
        answers = _cancel(present, edited, message, now)
    else:
        answers = edited
    if isinstance(answers, Refused):
        return answers
    if not answers:
        return Unchanged(_known(present, message, digest))
    *earlier, last = answers
    return [*earlier, last.but(order=_known(last.order, message, digest))]


def _edit(present: Order, message: OrderIntake, now: datetime) -> list[Changed] | Refused:
    details = details_of(message)
    if details == present.details:
        return []
    answer = decide(present, EditOrder(changes=_changes(present.details, details), by=BY), now)
    return answer if isinstance(answer, Refused) else [answer]


def _cancel(present: Order, edited: list[Changed] | Refused, message: OrderIntake, now: datetime) -> list[Changed] | Refused:
    """The order as its channel knew it at last, canceled: an edit that this message has overtaken will not be taken any more."""
    before = [] if isinstance(edited, Refused) else edited
    answer = decide(before[-1].order if before else present, CancelOrder(reason=message.reason, by=BY), now)
    return answer if isinstance(answer, Refused) else [*before, answer]


def _known(order: Order, message: OrderIntake, digest: str) -> Order:
    """The order, with this as the newest version that is known of its channel's."""
    return order.but(channel_version=message.version, digest=digest)


def _changes(before: Details, after: Details) -> DetailChanges:
    changed = {name: getattr(after, name) for name in Details.__struct_fields__ if getattr(before, name) != getattr(after, name)}
    return cast(DetailChanges, changed)  # the names and values are those of Details
