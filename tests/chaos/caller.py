"""A client that does not give up: one command under one key, to any living process of the service, until there is an answer."""

import asyncio
import itertools
from typing import Any, Self

import httpx

from tests.chaos.promises import Promises
from tests.chaos.stage import Stage

TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS = (0.05, 0.5)
SHARE_REPEATED = 0.15
"""Of the answered commands so many are sent again, and must be answered as the first time."""
TRY_AGAIN = {429, 503}


class Caller:
    """One merchant's client. Use it as an async context manager."""

    def __init__(self, name: str, stage: Stage, promises: Promises, key: str) -> None:
        self._name, self._stage, self._promises = name, stage, promises
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._keys = itertools.count(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def command(self, kind: str, method: str, path: str, body: Any) -> httpx.Response:
        """The answer of the service, whether it is yes or no."""
        key = f"{self._name}-{next(self._keys)}"
        answer = await self._until_answered(kind, method, path, body, key)
        self._promises.counts[f"{kind} commands"] += 1
        if self._stage.random.random() < SHARE_REPEATED:
            again = await self._until_answered(kind, method, path, body, key)
            self._promises.counts["commands repeated"] += 1
            if (again.status_code, again.content) != (answer.status_code, answer.content):
                self._promises.faults.append(f"{method} {path} with {key}: {answer.text}, and then {again.text}")
        return answer

    async def read(self, kind: str, path: str) -> dict[str, Any] | None:
        """What is there, or None."""
        while True:
            if answer := await self._once(kind, "GET", path, None, ""):
                found: dict[str, Any] | None = answer.json() if answer.is_success else None
                return found

    async def _until_answered(self, kind: str, method: str, path: str, body: Any, key: str) -> httpx.Response:
        while True:
            if answer := await self._once(kind, method, path, body, key):
                return answer

    async def _once(self, kind: str, method: str, path: str, body: Any, key: str) -> httpx.Response | None:
        """None where it is to be tried again."""
        try:
            if url := self._stage.url(kind):
                answer = await self._http.request(method, url + path, json=body, headers={"Idempotency-Key": key} if key else {})
                if answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
                    self._promises.faults.append(f"{method} {path}: {answer.text}")
                if not (answer.status_code in TRY_AGAIN or _is_in_flight(answer)):
                    return answer
        except httpx.TransportError:
            self._promises.counts["connections lost by clients"] += 1
        await asyncio.sleep(self._stage.random.uniform(*PAUSE_SECONDS))
        return None


def _is_in_flight(answer: httpx.Response) -> bool:
    return answer.status_code == httpx.codes.CONFLICT and answer.json().get("code") == "in_flight"
