"""What is no HTTP, is larger than we take, or breaks off: a clear 4xx or a cut connection, and a neighbour that notices nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.http_service import Service, notes_service
from tests.support.raw_http import ask, complaints, head, listening, wire

pytestmark = pytest.mark.integration
NOTE = b'{"name": "n1", "items": [{"sku": "A", "units": 1}]}'
GET = "GET /numbers HTTP/1.1"
MEGABYTE = 2**20


@pytest.fixture
async def service(database: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Service]:
    """Whatever clients do wrong, nobody is told of a fault of ours."""
    async with notes_service(database, unknown_requests_per_second=10_000) as running:
        yield running
    assert complaints(caplog.records) == []


@pytest.fixture
async def port(service: Service) -> AsyncIterator[int]:
    """Where the product's own server serves it."""
    async with listening(service.app) as found:
        yield found


def key(service: Service) -> str:
    return f"Authorization: {service.acme.headers['authorization']}"


def post(service: Service, *more: str, number: int = 0) -> bytes:
    """The head of a command."""
    return head("POST /notes/a HTTP/1.1", "Host: s", key(service), f"Idempotency-Key: k{number}", "Content-Type: application/json", *more)


async def neighbour(service: Service, port: int) -> None:
    """Somebody else is served."""
    client = await wire(port)
    for _ in range(2):  # on one connection
        await client.say(head(GET, "Host: s", key(service)))
        assert (await client.hear()).document["items"] == [1, 2, 3, 4, 5]
    client.hang_up()


# ---------------------------------------------------------------- no HTTP

LONG = [f"X-{number}: {'x' * 1_000}" for number in range(40)]
NO_HTTP: list[tuple[str, bytes, int]] = [
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, 400),
    ("words", b"hello?\r\n\r\n", 400),
    ("a line without end", b"G" * 100_000, 431),
    ("no Host", head(GET), 400),
    ("two Hosts", head(GET, "Host: a", "Host: b"), 400),
    ("a header without a colon", head(GET, "Host: s", "Authorization"), 400),
    ("a blank before the colon", head(GET, "Host: s", "Content-Length : 5"), 400),
    ("NUL in a header", head(GET, "Host: s", "X-A: a\x00b"), 400),
    ("NUL in the path", head("GET /numbers\x00 HTTP/1.1", "Host: s"), 400),
    ("no UTF-8 in the path", head("GET /numbers\xff\xfe HTTP/1.1", "Host: s"), 400),
    ("a blank in the path", head("GET /num bers HTTP/1.1", "Host: s"), 400),
    ("two lengths", head("POST /notes/a HTTP/1.1", "Host: s", "Content-Length: 5", "Content-Length: 6"), 400),
    ("two lengths in one header", head("POST /notes/a HTTP/1.1", "Host: s", "Content-Length: 5, 6"), 400),
    ("a length below zero", head("POST /notes/a HTTP/1.1", "Host: s", "Content-Length: -1"), 400),
    ("a length with a sign", head("POST /notes/a HTTP/1.1", "Host: s", "Content-Length: +5"), 400),
    ("a length of 5,000 digits", head("POST /notes/a HTTP/1.1", "Host: s", "Content-Length: " + "9" * 5_000), 400),
    ("a length and chunks", head("POST /notes/a HTTP/1.1", "Host: s", "Content-Length: 5", "Transfer-Encoding: chunked"), 400),
    ("chunks of chunks", head("POST /notes/a HTTP/1.1", "Host: s", "Transfer-Encoding: chunked, chunked"), 501),
    ("chunks twice", head("POST /notes/a HTTP/1.1", "Host: s", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501),
    ("compressed chunks", head("POST /notes/a HTTP/1.1", "Host: s", "Transfer-Encoding: gzip, chunked"), 501),
    ("a head of 40 KB", head(GET, "Host: s", *LONG), 431),
    ("a path of 40 KB", head(f"GET /numbers?cursor={'A' * 40_000} HTTP/1.1", "Host: s"), 431),
]


async def test_what_is_no_http_is_refused_with_a_problem_document_and_the_connection_ends(service: Service, port: int) -> None:
    found = []
    for name, said, _ in NO_HTTP:
        answer, cut = await ask(port, said)
        found.append((name, said, answer.status))
        assert (answer.code, cut, answer.headers["content-type"]) == ("no_http", True, "application/problem+json"), name
        assert answer.document["remedy"]
    assert found == NO_HTTP
    await neighbour(service, port)


async def test_a_large_head_in_small_pieces_is_refused_too(service: Service, port: int) -> None:
    whole = head(GET, "Host: s", *LONG)
    answer, cut = await ask(port, *(whole[at : at + 4_096] for at in range(0, len(whole), 4_096)))
    assert (answer.status, answer.code, cut) == (431, "no_http", True)


BAD_CHUNKS = {
    "no size": b"xyz\r\n",
    "a size below zero": b"-1\r\n",
    "a size of 21 digits": b"F" * 21 + b"\r\n",
    "more than it says": b"2\r\nabcd\r\n0\r\n\r\n",
    "a line without end": b"5;" + b"x" * 100_000,
}


async def test_chunks_that_make_no_sense_end_the_request_that_they_are_the_body_of(service: Service, port: int) -> None:
    for name, chunks in BAD_CHUNKS.items():
        answer, cut = await ask(port, post(service, "Transfer-Encoding: chunked"), chunks, pause=0.05)
        assert (answer.code, cut, 400 <= answer.status < 500) == ("no_http", True, True), name
    assert await service.rows("inventory.outbox") == 0
    await neighbour(service, port)


async def test_a_request_hidden_behind_a_length_that_two_readers_understand_differently_is_never_served(
    service: Service, port: int
) -> None:
    hidden = post(service, f"Content-Length: {len(NOTE)}", number=1) + NOTE
    both = post(service, f"Content-Length: {5 + len(hidden)}", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + hidden
    answer, cut = await ask(port, both)
    assert (answer.status, cut) == (400, True)
    assert await service.rows("inventory.outbox") == 0


async def test_what_is_wrong_within_sound_http_is_refused_like_anything_else(service: Service, port: int) -> None:
    for target, status in (("/notes/%00", 422), ("/%ff%fe", 404), ("//numbers", 404), ("/../numbers", 404), ("*", 404)):
        asked = post(service, f"Content-Length: {len(NOTE)}").replace(b"/notes/a", target.encode())
        answer, _ = await ask(port, asked + NOTE)
        assert (answer.status, bool(answer.document["remedy"])) == (status, True), target


async def test_a_method_that_nobody_knows_is_refused_and_not_remembered_for_ever(service: Service, port: int) -> None:
    for number in range(50):
        answer, _ = await ask(port, head(f"BREW{number} /numbers HTTP/1.1", "Host: s", key(service)))
        assert (answer.status, answer.code) == (405, "method")
    told = (await service.nobody.get("/metrics")).text
    assert "BREW" not in told
    assert 'method="other"' in told


async def test_an_upgrade_that_is_not_spoken_is_ignored(service: Service, port: int) -> None:
    answer, _ = await ask(port, head(GET, "Host: s", key(service), "Connection: Upgrade", "Upgrade: websocket"))
    assert answer.status == 200


# ---------------------------------------------------------------- large


def _chunked(size: int) -> list[bytes]:
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    return [piece] * (size // 0x10000)


async def test_a_hundred_megabytes_are_refused_and_the_answer_reaches_who_sends_all_before_it_reads(service: Service, port: int) -> None:
    sized = [post(service, f"Content-Length: {100 * MEGABYTE}"), *[b" " * MEGABYTE] * 100]
    unsized = [post(service, "Transfer-Encoding: chunked"), *_chunked(100 * MEGABYTE)]
    for pieces in (sized, unsized):
        answer, cut = await ask(port, *pieces)
        assert (answer.status, answer.code, cut) == (413, "body_too_large", True)
    await neighbour(service, port)


async def test_a_body_is_refused_before_it_is_sent_where_it_is_announced(service: Service, port: int) -> None:
    answer, _ = await ask(port, post(service, "Content-Length: 104857600", "Expect: 100-continue"))
    assert (answer.status, answer.code) == (413, "body_too_large")


async def test_who_has_no_key_is_refused_before_a_byte_of_the_body_is_read(service: Service, port: int) -> None:
    client = await wire(port)
    await client.say(head("POST /notes/a HTTP/1.1", "Host: s", "Content-Length: 1000"))
    assert (await client.hear()).status == 401
    await client.say(b"x" * 1000, head(GET, "Host: s", key(service)))  # and may do better on the same connection
    assert (await client.hear()).status == 200
    client.hang_up()


# ---------------------------------------------------------------- many, and broken off


async def test_requests_sent_ahead_are_answered_one_after_the_other(service: Service, port: int) -> None:
    client = await wire(port)
    asked = [head(f"GET /numbers?limit={1 + number % 5} HTTP/1.1", "Host: s", key(service)) for number in range(300)]
    await client.say(b"".join(asked))
    answers = [len((await client.hear()).document["items"]) for _ in asked]
    assert answers == [1 + number % 5 for number in range(300)]
    client.hang_up()


async def test_what_is_broken_behind_a_good_request_does_not_take_its_answer(service: Service, port: int) -> None:
    client = await wire(port)
    await client.say(head(GET, "Host: s", key(service)) + b"\x00\x00\x00\r\n\r\n")
    assert (await client.hear()).status == 200
    assert (await client.hear()).code == "no_http"
    assert await client.is_cut()


async def test_clients_that_break_off_anywhere_leave_nothing_behind(service: Service, port: int) -> None:
    whole = post(service, f"Content-Length: {len(NOTE)}") + NOTE
    for at in range(0, len(whole), 7):
        client = await wire(port)
        await client.say(whole[:at])
        client.reset() if at % 2 else client.hang_up()
    await asyncio.sleep(0.1)
    await neighbour(service, port)
    assert await service.rows("inventory.outbox") == 0
    told = (await service.nobody.get("/metrics")).text
    assert _count(told, 'route="/notes/{place}",service="inventory",status="499"') > 0
    assert _count(told, 'status="500"') == 0


def _count(told: str, labels: str) -> float:
    found: list[Any] = [line.rsplit(" ", 1)[1] for line in told.splitlines() if "request_seconds_count" in line and labels in line]
    return sum(map(float, found))
