"""The allocator's health is that of its state partitions, and its description says so."""

import httpx
import pytest

from services.allocator.app import application
from tests.support.http_service import KAFKA_AWAY, settings_for


@pytest.mark.parametrize(("path", "status"), [("/health/live", 200), ("/health/ready", 503), ("/metrics", 200)])
async def test_health_and_metrics_of_an_allocator_answer_as_its_description_says(path: str, status: int) -> None:
    app = application(settings_for("postgresql://nobody@127.0.0.1:1/earmark", KAFKA_AWAY))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://allocator") as client:
        described = (await client.get("/openapi.json")).json()["paths"][path]["get"]["responses"]
        answer = await client.get(path, follow_redirects=True)
    assert (answer.status_code, str(status) in described) == (status, True)
    assert answer.headers["content-type"].partition(";")[0] in described["200"]["content"]
