"""Order numbers (ruling R9): SO-YYMM-NNNN, counted within merchant and month."""

from datetime import datetime


def month_of(now: datetime) -> str:
    """The month as it stands in a number: 2611. `now` in the time zone that the merchant's books are kept in."""
    return f"{now:%y%m}"


def order_number(prefix: str, month: str, count: int) -> str:
    """The number; after 9999 it grows to five digits."""
    return f"{prefix}-{month}-{count:04d}"
