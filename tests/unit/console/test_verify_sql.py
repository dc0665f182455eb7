"""The checks of `earmark verify` as text; that they find what is wrong is in `tests/integration/test_verify.py`."""

import re

import pytest

from services.console.verify import Statement, statements

STEP = " AS MATERIALIZED ("


def without_steps(sql: str) -> str:
    """The statement without its materialized steps."""
    while STEP in sql:
        before, _, rest = sql.partition(STEP)
        end = next(at for at in range(len(rest)) if rest[: at + 1].count(")") > rest[: at + 1].count("("))
        sql = before + rest[end + 1 :]
    return sql


def test_a_step_ends_where_its_parenthesis_does() -> None:
    assert without_steps("WITH a AS MATERIALIZED (SELECT f(1)), b AS MATERIALIZED (x) SELECT g(2)") == "WITH a, b SELECT g(2)"


@pytest.mark.parametrize("statement", statements(), ids=lambda one: one.name)
def test_a_demands_json_is_read_once_and_not_for_each_of_its_reservations(statement: Statement) -> None:
    """A demand of a hundred lines has a hundred reservations: reading it for each of them took minutes."""
    rest = without_steps(statement.wrong)
    assert "allocator.reservation" not in rest or not re.search(r"\bstate\b", rest)
