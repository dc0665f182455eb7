"""Records that somebody could write and that must be refused with the name of the field: a corpus that only grows.

Each row: what is wrong, the value, what the field is called in the refusal, and a piece of the reason.
"""

import json
from dataclasses import dataclass

RECEIPT = {
    "type": "receive_stock",
    "command_id": "receipt-1",
    "merchant": "acme",
    "sku": "85123A",
    "warehouse": "MAIN",
    "bin": "A-01",
    "units": 5,
    "issued_at": "2026-11-21T12:00:00Z",
}


@dataclass(frozen=True, slots=True)
class Hostile:
    """One record and how it must be refused."""

    name: str
    value: bytes | None
    field: str
    reason: str


def _with(**changed: object) -> bytes:
    return json.dumps(RECEIPT | changed).encode()


def _raw(field: str, text: bytes) -> bytes:
    """A receipt with `text` as it is in place of a field's value."""
    return json.dumps(RECEIPT | {field: "@"}).encode().replace(b'"@"', text)


def _without(field: str) -> bytes:
    return json.dumps({name: value for name, value in RECEIPT.items() if name != field}).encode()


_GOOD = json.dumps(RECEIPT).encode()
NOT_JSON, WHOLE, WRITTEN_AS = "not JSON", "valid integer", "written as"

HOSTILE = (
    # no message at all
    Hostile("a tombstone", None, "value", "tombstone"),
    Hostile("nothing", b"", "value", NOT_JSON),
    Hostile("null", b"null", "value", "should be an object"),
    Hostile("a number", b"5", "value", "should be an object"),
    Hostile("a list of one message", b"[" + _GOOD + b"]", "value", "should be an object"),
    Hostile("two messages", _GOOD + _GOOD, "value", NOT_JSON),
    Hostile("cut in the middle", _GOOD[: len(_GOOD) // 2], "value", NOT_JSON),
    Hostile("NUL behind the end", _GOOD + b"\x00", "value", NOT_JSON),
    Hostile("larger than any record", _with(cause="x" * 2_000_000), "value", "send at most"),
    # not UTF-8
    Hostile("Latin-1", _raw("cause", b'"\xe9"'), "value", NOT_JSON),
    Hostile("UTF-16", _GOOD.decode().encode("utf-16"), "value", "JSON"),
    Hostile("UTF-16 without a mark", _GOOD.decode().encode("utf-16-le"), "value", "JSON"),
    Hostile("a byte order mark", b"\xef\xbb\xbf" + _GOOD, "value", "JSON"),
    Hostile("a surrogate in UTF-8", _raw("cause", b'"\xed\xa0\x80"'), "value", "JSON"),
    # text
    Hostile("a lone surrogate", _raw("cause", b'"\\ud800"'), "value", "JSON"),
    Hostile("NUL in a note", _with(cause="a\x00b"), "cause", "pattern"),
    Hostile("NUL in a SKU", _with(sku="A\x00B"), "sku", "pattern"),
    Hostile("a SKU with a line end", _with(sku="CUP\n"), "sku", "pattern"),
    Hostile("a SKU with a space at its end", _with(sku="CUP "), "sku", "pattern"),
    Hostile("a SKU of other digits", _with(sku="٣"), "sku", "pattern"),
    Hostile("an empty SKU", _with(sku=""), "sku", "pattern"),
    Hostile("a SKU of 65 characters", _with(sku="A" * 65), "sku", "pattern"),
    Hostile("a merchant that is a path", _with(merchant="../acme"), "merchant", "pattern"),
    Hostile("a note of 501 characters", _with(cause="x" * 501), "cause", "at most 500"),
    # numbers
    Hostile("true units", _with(units=True), "units", WHOLE),
    Hostile("units as text", _with(units="5"), "units", WHOLE),
    Hostile("units with a point", _with(units=5.0), "units", WHOLE),
    Hostile("units with an exponent", _raw("units", b"5e0"), "units", WHOLE),
    Hostile("no units", _with(units=None), "units", WHOLE),
    Hostile("zero units", _with(units=0), "units", "greater than or equal to 1"),
    Hostile("negative units", _with(units=-5), "units", "greater than or equal to 1"),
    Hostile("a billion and one", _with(units=1_000_000_001), "units", "less than or equal"),
    Hostile("more than eight bytes hold", _with(units=2**63), "units", "less than or equal"),
    Hostile("400 digits", _with(units=10**400), "units", "less than or equal"),
    Hostile("5,000 digits", _raw("units", b"1" + b"0" * 5_000), "value", "out of range"),
    Hostile("infinite as an exponent", _raw("units", b"1e400"), "units", WHOLE),
    Hostile("NaN", _raw("units", b"NaN"), "units", WHOLE),
    Hostile("Infinity", _raw("units", b"-Infinity"), "units", WHOLE),
    # times
    Hostile("a time as a number", _with(issued_at=1_700_000_000), "issued_at", WRITTEN_AS),
    Hostile("a time as a number in quotes", _with(issued_at="1700000000"), "issued_at", WRITTEN_AS),
    Hostile("a time without an offset", _with(issued_at="2026-11-21T12:00:00"), "issued_at", "timezone"),
    Hostile("a time that UTC does not have, before", _with(issued_at="0001-01-01T00:00:00+23:00"), "issued_at", "1970"),
    Hostile("a time that UTC does not have, after", _with(issued_at="9999-12-31T23:59:59-23:00"), "issued_at", "3000"),
    Hostile("the year 10000", _with(issued_at="10000-01-01T00:00:00Z"), "issued_at", WRITTEN_AS),
    Hostile("a day as a time", _with(expires_on="2026-11-21T00:00:00Z"), "expires_on", WRITTEN_AS),
    Hostile("a day as a number in quotes", _with(expires_on="1699920000"), "expires_on", WRITTEN_AS),
    Hostile("the 30th of February", _with(expires_on="2027-02-30"), "expires_on", "day value"),
    # structure
    Hostile("a field too many", _with(price=5), "price", "Unexpected"),
    Hostile("a field too few", _without("bin"), "bin", "required"),
    Hostile("another type than the header says", _with(type="adjust_stock"), "type", "receive_stock"),
    Hostile("a name twice", b'{"units":1,' + _GOOD[1:], "units", "twice"),
    Hostile("a name twice, once escaped", b'{"\\u0075nits":1,' + _GOOD[1:], "units", "twice"),
    Hostile("a name twice that no text column takes", b'{"\\ud800":1,"\\ud800":2}', "\\ud800", "twice"),
    Hostile("a name twice with NUL", b'{"\\u0000":1,"\\u0000":2}', "\\x00", "twice"),
    Hostile("a field too many with NUL in its name", _with(**{"a\x00b": 1}), "a\\x00b", "Unexpected"),
    Hostile("lists a hundred thousand deep", b"[" * 100_000 + b"]" * 100_000, "value", "nested too deep"),
    Hostile("objects a hundred thousand deep", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "value", "nested too deep"),
    Hostile("a list 190 deep in a field too many", _raw("more", b"[" * 190 + b"]" * 190), "more", "Unexpected"),
)
