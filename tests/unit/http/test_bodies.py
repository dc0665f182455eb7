"""JSON that two readers could understand differently, or that Postgres can not keep, never gets past the door."""

import contextlib
import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.http.bodies import Json
from shared.http.problems import Problem
from shared.schemas.values import Fill
from tests.support.http_service import Note

BAD = [
    ("an empty body", b"", "body"),
    ("no JSON", b"sku=A&units=1", "body"),
    ("two documents", b"{} {}", "body"),
    ("cut off", b'{"name": "n', "body"),
    ("a trailing comma", b'{"name": "n",}', "body"),
    ("a comment", b'{"name": "n"} // note', "body"),
    ("not a number", b'{"units": NaN}', "body"),
    ("infinity", b'{"units": -Infinity}', "body"),
    ("a name twice", b'{"units": 1, "units": 2}', "units"),
    ("a name twice inside", b'{"items": [{"sku": "A", "sku": "B"}]}', "sku"),
    ("NUL in a text", b'{"name": "a\\u0000b"}', "body"),
    ("NUL in a name", b'{"a\\u0000": 1}', "body"),
    ("half a surrogate pair", b'{"name": "\\ud83d"}', "body"),
    ("the other half", b'{"name": "\\uDE00"}', "body"),
    ("the pair in the wrong order", b'{"name": "\\ude00\\ud83d"}', "body"),
    ("Latin-1", '{"name": "ä"}'.encode("latin-1"), "body"),
    ("UTF-16", '{"name": "a"}'.encode("utf-16"), "body"),
    ("a byte order mark", b'\xef\xbb\xbf{"name": "a"}', "body"),
    ("100,000 brackets", b"[" * 100_000 + b"]" * 100_000, "body"),
    ("a number of 10,000 digits", b'{"units": ' + b"9" * 10_000 + b"}", "body"),
    ("101 names in one object", json.dumps({f"n{number}": 1 for number in range(101)}).encode(), "body"),
    ("a name without a letter twice", b'{"": 1, "": 2}', "body"),
    ("a raw control character", b'{"name": "a\nb"}', "body"),
]


@pytest.mark.parametrize(("body", "field"), [(body, field) for _, body, field in BAD], ids=[name for name, _, _ in BAD])
def test_a_body_that_can_not_be_read_safely_is_refused_with_field_and_remedy(body: bytes, field: str) -> None:
    with pytest.raises(Problem) as refused:
        Json(body)
    assert (refused.value.status, refused.value.field) == (400, field)
    assert refused.value.remedy
    json.dumps(refused.value.document("r")).encode()


def test_a_whole_surrogate_pair_is_a_character_and_an_escaped_backslash_is_no_escape() -> None:
    assert Json(b'{"a": "\\ud83d\\ude00", "b": "\\\\u0000"}').parsed == {"a": "\U0001f600", "b": "\\u0000"}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.lists))
def test_any_sound_json_is_read_as_it_is(value: object) -> None:
    assert Json(json.dumps({"v": value}).encode()).parsed == {"v": value}


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_the_reader_fail_otherwise(raw: bytes) -> None:
    with contextlib.suppress(Problem):
        Json(raw)


def test_the_order_of_names_and_blanks_does_not_make_another_request() -> None:
    assert Json(b'{"a": 1, "b": [1, 2]}').canonical() == Json(b'{ "b":[1,2],"a":1 }').canonical()
    assert Json(b'{"a": 1}').canonical() != Json(b'{"a": 2}').canonical()


NOTE = {"name": "n", "items": [{"sku": "A 1", "units": 2}], "fill": "whole_lines", "due_on": "2026-12-24", "at": "2026-12-24T08:00:00Z"}
STRICT = [
    ("text for a number", {"items": [{"sku": "A", "units": "2"}]}, "items.0.units"),
    ("true for a number", {"items": [{"sku": "A", "units": True}]}, "items.0.units"),
    ("a float for a number", {"items": [{"sku": "A", "units": 2.0}]}, "items.0.units"),
    ("zero", {"items": [{"sku": "A", "units": 0}]}, "items.0.units"),
    ("below zero", {"items": [{"sku": "A", "units": -1}]}, "items.0.units"),
    ("more than a thousand million", {"items": [{"sku": "A", "units": 10**9 + 1}]}, "items.0.units"),
    ("a huge number", {"items": [{"sku": "A", "units": 10**400}]}, "items.0.units"),
    ("a number for text", {"name": 7}, "name"),
    ("an empty name", {"name": ""}, "name"),
    ("a name of 65 letters", {"name": "n" * 65}, "name"),
    ("a name with a letter of another script", {"name": "nаme"}, "name"),
    ("a name with a newline at the end", {"name": "n\n"}, "name"),
    ("a SKU with a blank at the end", {"items": [{"sku": "A ", "units": 1}]}, "items.0.sku"),
    ("an unknown field", {"merchant": "bolt"}, "merchant"),
    ("an unknown field inside", {"items": [{"sku": "A", "units": 1, "price": 3}]}, "items.0.price"),
    ("a word that is not of the set", {"fill": "most"}, "fill"),
    ("no items", {"items": []}, "items"),
    ("too many items", {"items": [{"sku": "A", "units": 1}] * 4}, "items"),
    ("an object for a list", {"items": {}}, "items"),
    ("no day of the calendar", {"due_on": "2026-02-30"}, "due_on"),
    ("a time as a number", {"at": 1790000000}, "at"),
    ("null", {"name": None}, "name"),
]


@pytest.mark.parametrize(("change", "field"), [(change, field) for _, change, field in STRICT], ids=[name for name, _, _ in STRICT])
def test_a_body_is_strict(change: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Note.model_validate(Json(json.dumps(NOTE | change).encode()))
    assert ".".join(map(str, refused.value.errors()[0]["loc"])) == field


def test_a_sound_body_is_read_from_json_with_its_dates_and_words() -> None:
    note = Note.model_validate(Json(json.dumps(NOTE).encode()))
    assert (note.fill, note.due_on, note.at) == (Fill.WHOLE_LINES, date(2026, 12, 24), datetime(2026, 12, 24, 8, tzinfo=UTC))
