"""Problem documents: RFC 9457, always with what helps."""

import json

import pytest

from shared.http.problems import MAX_ERRORS, Problem, unavailable
from shared.http.validation import refused


def test_a_problem_document_has_the_members_of_the_rfc_and_ours() -> None:
    answer = Problem(409, "order_is_shipped", "it has left", remedy="create a return", field="status").response("r1")
    document = json.loads(bytes(answer.body))
    assert answer.media_type == "application/problem+json"
    assert document == {
        "type": "urn:earmark:problem:order_is_shipped",
        "title": "The present state does not allow this",
        "status": 409,
        "detail": "it has left",
        "code": "order_is_shipped",
        "field": "status",
        "remedy": "create a return",
        "request_id": "r1",
    }


def test_a_service_that_is_away_says_when_to_come_back() -> None:
    assert unavailable("no database").headers == {"Retry-After": "2"}


def test_every_finding_is_listed_up_to_twenty_and_the_first_leads() -> None:
    findings = [{"type": "missing", "loc": ("body", "lines", number, "sku"), "msg": "Field required"} for number in range(30)]
    problem = refused(findings)
    assert (problem.status, problem.field, problem.detail) == (422, "lines.0.sku", "lines.0.sku: Field required (and 29 more)")
    assert len(problem.errors) == MAX_ERRORS
    assert problem.errors[19]["field"] == "lines.19.sku"


@pytest.mark.parametrize("kind", ["missing", "int_type", "greater_than_equal", "datetime_parsing", "a_kind_of_next_year"])
def test_every_kind_of_finding_has_a_remedy(kind: str) -> None:
    assert refused([{"type": kind, "loc": ("body", "units"), "msg": "Something is wrong"}]).remedy


def test_a_hostile_field_name_is_cut() -> None:
    problem = refused([{"type": "extra_forbidden", "loc": ("body", "x" * 10_000), "msg": "Extra inputs are not permitted"}])
    assert len(problem.field or "") <= 64
