"""The dead letters of orders: who sees them, and how they are replayed or discarded."""

import json

import pytest

from shared.api_keys import create_api_key
from tests.builders.intake import broken, intake
from tests.support.orders_service import Orders, raw_record

pytestmark = pytest.mark.integration


async def test_a_dead_letter_is_shown_replayed_when_its_cause_is_gone_and_settled(orders: Orders) -> None:
    await orders.take_in(intake("A-1", 1))
    await orders.answer("A-1", "allocated")
    await orders.post("/orders/A-1/start-processing")
    await orders.answer("A-1", "allocated", picking="confirmed")
    await orders.take_in(intake("A-1", 2, units=9))
    (letter,) = await orders.letters()
    address = f"/dead-letters/{letter['topic']}/{letter['partition']}/{letter['offset']}"
    assert json.loads((await orders.get(address))["value"])["version"] == 2
    again = await orders.post(f"{address}/replay")
    assert (again.status_code, again.json()["code"]) == (409, "refused_again")
    await orders.post("/orders/A-1/stop-processing")
    assert (await orders.post(f"{address}/replay")).json()["status"] == "replayed"
    assert (await orders.get("/orders/A-1"))["lines"][0]["units"] == 9
    assert (await orders.post(f"{address}/discard")).json()["code"] == "settled"
    assert await orders.letters() == []
    assert len(await orders.letters(status="replayed")) == 1


async def test_a_dead_letter_is_discarded_and_kept(orders: Orders) -> None:
    await orders.take_in(raw_record(broken(colour="red")))
    (letter,) = await orders.letters()
    address = f"/dead-letters/{letter['topic']}/{letter['partition']}/{letter['offset']}"
    assert (await orders.post(f"{address}/discard")).json()["status"] == "discarded"
    assert len(await orders.letters(status="discarded")) == 1


async def test_a_merchant_sees_its_own_dead_letters_and_an_operator_all(orders: Orders) -> None:
    await orders.take_in(raw_record(broken(colour="red")), raw_record(broken(merchant="bolt", colour="red")), raw_record(b"{"))
    assert len(await orders.letters()) == 1
    (theirs,) = await orders.letters(by="bolt")
    address = f"/dead-letters/{theirs['topic']}/{theirs['partition']}/{theirs['offset']}"
    assert (await orders.service.acme.get(address)).status_code == 404
    assert (await orders.post(f"{address}/discard")).status_code == 404
    pepper = orders.platform.settings.pepper
    async with orders.platform.engine.begin() as connection:
        key = await create_api_key(connection, "acme", pepper=pepper, scopes=("read", "operator"))
    found = await orders.service.nobody.get("/dead-letters", params={"limit": 2}, headers={"Authorization": f"Bearer {key.token}"})
    assert len(found.json()["items"]) == 2
    assert found.json()["next_cursor"]
