"""An HTTP service held to its own description: requests made by schemathesis from its OpenAPI, sent to a real port, and every answer
compared with what is described."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi import checks

from tests.support.raw_http import listening

AS_DESCRIBED = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
FEW = 2
"""As many as the gate tries, and only where a body is taken."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Target:
    """A running service. `known`: values for parameters of paths, by name, of things that are there; `bodies`: for operations whose
    example needs something that is not; `refused`: statuses of operations that can not be served here."""

    app: FastAPI
    reader: str
    writer: str
    known: Mapping[str, Any] = field(default_factory=dict)
    bodies: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def served(opened: Callable[[], AbstractAsyncContextManager[Target]]) -> Iterator[tuple[Target, str]]:
    """The target and its address, its loop in a thread of its own, because schemathesis asks without one."""
    found: list[tuple[Target, int]] = []
    ready, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with opened() as target, listening(target.app) as port:
            found.append((target, port))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: _run(serve, ready), daemon=True)
    thread.start()
    ready.wait(60)
    try:
        target, port = found[0]
        yield target, f"http://127.0.0.1:{port}"
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join(60)


def _run(serve: Callable[[], Any], ready: threading.Event) -> None:
    try:
        asyncio.run(serve())
    finally:
        ready.set()


class Inspector:
    """Asks every operation of one service and keeps what was not as described."""

    def __init__(self, target: Target, url: str, examples: int) -> None:
        self._target, self._url, self._examples = target, url, examples
        self._session = requests.Session()
        described = self._session.get(f"{url}/openapi.json", timeout=30).json()
        found: list[Any] = list(schemathesis.openapi.from_dict(described).get_all_operations())  # of several types, by the version
        self._operations = [one.ok() for one in found]
        self.asked = 0
        self.wrong: list[str] = []

    def inspect(self) -> None:
        """Everything."""
        for operation in self._operations:
            self._without_the_right_key(operation)
            self._what_is_there(operation)
            for mode in GenerationMode:
                if operation.body or self._examples > FEW:  # addresses have a test of their own in the gate, with worse in them
                    self._many(operation, mode)

    def _what_is_there(self, operation: Any) -> None:
        """One request that makes sense: the described example, about something that is there. Not only refusals are to be as described."""
        known = self._target.known
        named = {name: known.get(f"{operation.path} {name}", known.get(name, "1")) for name in _names(operation.path)}
        body = self._target.bodies.get(operation.path, _example(operation.definition.raw, operation.schema.raw_schema))
        headers = {"Idempotency-Key": f"described-{next(_numbers)}"}
        case = operation.Case(path_parameters=named, headers=headers, body=body, media_type="application/json" if body else None)
        found = self._ask(case, self._target.writer, [not_a_server_error, *AS_DESCRIBED])
        if found >= 300 and found != self._target.refused.get(operation.path):
            self.wrong.append(f"{operation.label}: {found} for {named} {body}")

    def _many(self, operation: Any, mode: GenerationMode) -> None:
        negative = mode is GenerationMode.NEGATIVE
        if negative and not (operation.body or operation.query or operation.headers or operation.path_parameters):
            return
        wanted = [not_a_server_error, *AS_DESCRIBED, *([checks.negative_data_rejection] if negative else [])]

        @settings(max_examples=self._examples, database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=_PHASES)
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            if not negative and "Idempotency-Key" in case.headers:
                case.headers["Idempotency-Key"] = f"described-{next(_numbers)}"
            self._ask(case, self._target.writer, wanted)

        ask()

    def _without_the_right_key(self, operation: Any) -> None:
        """No key, a key that nobody has, one that may only read."""
        if not operation.definition.raw.get("security"):
            return
        unknown = f"em_{'0' * 16}.{'a' * 43}"
        for key, status in (("", 401), ("nonsense", 401), (unknown, 401), (self._target.reader, 403)):
            if status == 403 and operation.method.upper() == "GET":
                continue
            case = operation.Case(path_parameters=dict.fromkeys(_names(operation.path), "1"))
            if (found := self._ask(case, key, AS_DESCRIBED)) != status:
                self.wrong.append(f"{operation.label} with {key[:8] or 'no key'}: {found}")

    def _ask(self, case: Any, key: str, wanted: list[Any]) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = case.call(base_url=self._url, session=self._session, headers=headers, timeout=30)
        self.asked += 1
        checked = [one for one in wanted if one is not checks.negative_data_rejection or _went_out(case, answer)]
        try:
            case.validate_response(
                answer, checks=checked, headers=headers, transport_kwargs={"base_url": self._url, "session": self._session}
            )
        except FailureGroup as failures:  # kept instead of raised: the service remembers what it was asked, and would not fail again
            self.wrong.append(f"{case.operation.label}: {failures}")
        return int(answer.status_code)


def _went_out(case: Any, answer: Any) -> bool:
    """Whether what is wrong about the parameters of a case can be seen in its address, where everything is text: an empty list is not sent,
    one value is sent as a list of one is, and a number as its digits are."""
    asked = case.query or {}
    described = {one["name"]: one["schema"] for one in case.operation.definition.raw.get("parameters", ()) if one["in"] == "query"}
    sent = parse_qs(urlsplit(answer.request.url).query, keep_blank_values=True)
    return set(asked) <= set(sent) and all(_is_itself(asked[name], described[name]) for name in set(asked) & set(described))


def _is_itself(value: Any, schema: Any) -> bool:
    types = {one.get("type") for one in (schema, *schema.get("anyOf", ()))}
    if "array" in types:
        return isinstance(value, list)
    return "string" not in types or isinstance(value, str) or (isinstance(value, list) and len(value) > 1)


_PHASES = (Phase.explicit, Phase.generate, Phase.shrink)


def _names(path: str) -> list[str]:
    return [part.partition("}")[0].partition(":")[0] for part in path.split("{")[1:]]


def _example(operation: Any, description: Any) -> Any:
    """The body that the description gives as an example; nothing where it takes none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return NOT_SET
    schemas = [content["schema"], *content["schema"].get("anyOf", ())]
    schemas += [description["components"]["schemas"][one["$ref"].rpartition("/")[2]] for one in schemas if "$ref" in one]
    return next(example for schema in schemas for example in schema.get("examples", ()))
