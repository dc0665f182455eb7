"""`Prefer: wait=N` as RFC 7240 writes it."""

import pytest

from shared.http.prefer import preference

HEADERS = [
    ("", 0),
    ("wait=5", 5),
    ("WAIT=5", 5),
    ("wait = 5", 5),
    ('wait="5"', 5),
    ("respond-async, wait=5", 5),
    ("wait=5, respond-async", 5),
    ("wait=5; foo", 5),
    ("wait=0", 0),
    ("wait=3600", 30),
    ("wait=99999999999999", 0),
    ("wait", 0),
    ("wait=", 0),
    ("wait=-1", 0),
    ("wait=1.5", 0),
    ("wait=soon", 0),
    ("dontwait=5", 0),
    ("handling=strict", 0),
]


@pytest.mark.parametrize(("header", "seconds"), HEADERS)
def test_a_wait_is_understood_or_ignored_and_never_longer_than_allowed(header: str, seconds: float) -> None:
    assert preference(header, 30.0).wait_seconds == seconds
