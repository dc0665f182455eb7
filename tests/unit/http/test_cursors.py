"""A cursor comes back as it was sent, to the list that it was made for, or is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.cursors import decode, encode
from shared.http.problems import Problem

KEY = b"k" * 32
VALUES = st.lists(st.text(st.characters(codec="utf-8")) | st.integers() | st.none(), max_size=4)


@given(VALUES, st.text(st.characters(codec="utf-8")))
def test_what_comes_back_is_what_was_sent(values: list[str | int | None], scope: str) -> None:
    assert decode(KEY, scope, encode(KEY, scope, values)) == values


@pytest.mark.parametrize("scope", ["orders/bolt", "orders/acme/shipped", "orders", ""])
def test_a_cursor_of_another_merchant_list_or_filter_is_refused(scope: str) -> None:
    with pytest.raises(Problem) as refused:
        decode(KEY, scope, encode(KEY, "orders/acme", ["SO-1"]))
    assert (refused.value.status, refused.value.field) == (422, "cursor")


@given(VALUES, st.data())
def test_one_changed_letter_is_seen(values: list[str | int | None], data: st.DataObject) -> None:
    sent = encode(KEY, "s", values)
    place = data.draw(st.integers(0, len(sent) - 2))  # the last letter has bits that are not used
    other = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda letter: letter != sent[place]))
    with pytest.raises(Problem):
        decode(KEY, "s", sent[:place] + other + sent[place + 1 :])


@given(st.text(max_size=100))
def test_whatever_is_sent_instead_is_refused_and_nothing_else_happens(cursor: str) -> None:
    with pytest.raises(Problem):
        decode(KEY, "s", cursor)
