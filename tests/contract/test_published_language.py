"""The published documents: fresh, valid, complete, and true of what really lies in Kafka."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from deploy.generate_docs import DOCS, RELEASED, documents
from services.allocator.demand_side import DemandSide
from services.allocator.stock_side import StockSide
from services.inventory.app import application as inventory_application
from services.inventory.projecting import projections
from services.orders.app import application as orders_application
from shared.schemas import wire
from shared.schemas.published import SERVICES, TRAFFIC, asyncapi
from shared.schemas.topics import BY_NAME, TOPICS
from shared.settings import Settings
from tests.builders.messages import messages
from tests.contract.golden_records import Golden, golden_files

GOLDEN = golden_files()
ASYNCAPI: dict[str, Any] = asyncapi("0")


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_generated_document_is_fresh(path: Path) -> None:
    assert path.exists(), f"{path.name} is missing: run `make docs`"
    assert path.read_text(encoding="utf-8") == documents()[path], f"{path.name} is stale: run `make docs`"


def test_no_schema_lies_around_of_a_message_that_is_no_more() -> None:
    assert set((DOCS / "schemas").iterdir()) == {path for path in documents() if path.parent.name == "schemas"}


# ---------------------------------------------------------------- schemas


def schema(stem: str, folder: Path = DOCS / "schemas") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_a_golden_record_keeps_to_its_published_schema(golden: Golden) -> None:
    found = schema(f"{golden.kind}.{golden.version}")
    Draft202012Validator.check_schema(found)
    for value in golden.values:
        Draft202012Validator(found).validate(value)
    assert found["$id"] == golden.headers["ce_dataschema"]


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*.json")), ids=lambda path: path.stem)
@settings(max_examples=25)
@given(data=st.data())
def test_what_we_write_today_is_read_by_whoever_knows_only_the_released_schema(path: Path, data: st.DataObject) -> None:
    """A reader of an older version refuses a field that it does not know: such a change needs a new version of the schema."""
    kind, _, version = path.stem.rpartition(".")
    assert version == wire.SCHEMA, "an older version is still written: keep writing it until every reader is newer"
    written = json.loads(wire.ADAPTERS[kind].dump_json(data.draw(messages(kind)), exclude_none=True))
    problems = [problem.message for problem in Draft202012Validator(schema(path.stem, RELEASED)).iter_errors(written)]
    assert not problems, f"{problems}: give {kind} a new version; before the first release: python deploy/generate_docs.py --release"


def test_every_message_has_its_released_schema() -> None:
    assert {path.stem for path in RELEASED.glob("*.json")} >= {f"{kind}.{wire.SCHEMA}" for kind in wire.ADAPTERS}


# ---------------------------------------------------------------- AsyncAPI


def test_the_asyncapi_document_is_one_by_faststreams_own_model_of_asyncapi_3() -> None:
    ApplicationSchema.model_validate(ASYNCAPI)


def test_every_reference_leads_somewhere() -> None:
    for reference in _references(ASYNCAPI):
        if reference.startswith("./"):
            assert (DOCS / reference) in documents(), reference
        else:
            _resolve(reference)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _references(one)


def _resolve(reference: str) -> Any:
    assert reference.startswith("#/"), reference
    node: Any = ASYNCAPI
    for part in reference[2:].split("/"):
        node = node[part]
    return node


def test_every_topic_is_a_channel_and_every_message_travels_on_one() -> None:
    assert {channel["address"] for channel in ASYNCAPI["channels"].values()} == {topic.name for topic in TOPICS} == set(TRAFFIC)
    travelling = {kind for traffic in TRAFFIC.values() for kind in traffic.kinds}
    packed = {str(message["const"]) for name in wire.PACKS for message in _types_in(f"{name}.pack.v1")}
    assert set(wire.ADAPTERS) <= travelling | packed


def _types_in(stem: str) -> list[dict[str, Any]]:
    return [one["properties"]["type"] for one in schema(stem)["$defs"].values() if "type" in one.get("properties", {})]


def test_internal_topics_are_the_allocators_own() -> None:
    for name, traffic in TRAFFIC.items():
        if BY_NAME[name].internal:
            assert traffic.writers == traffic.readers == ("allocator",), name
        assert {*traffic.writers, *traffic.readers} <= set(SERVICES)


def test_what_is_spared_a_check_is_what_the_allocator_alone_writes() -> None:
    alone = {kind for traffic in TRAFFIC.values() if traffic.writers == ("allocator",) for kind in traffic.kinds}
    assert alone == wire.OF_THE_ALLOCATOR


def test_each_service_reads_what_the_document_says() -> None:
    somewhere = Settings(kafka="nowhere:1", postgres=SecretStr("postgresql://nowhere/1"), api_key_pepper=SecretStr("p" * 40))
    feeds = orders_application(somewhere).state.parts.feeds
    projected = projections(inventory_application(somewhere).state.platform)
    read = {
        "allocator": {*StockSide.inputs, *DemandSide.inputs},
        "orders": {topic.name for topic in TOPICS if feeds.of(topic.name) is not None},
        "inventory": {topic for projection in projected for topic in projection.topics},
    }
    told = {service: {name for name, traffic in TRAFFIC.items() if service in traffic.readers} for service in SERVICES}
    assert told == read


@pytest.mark.parametrize("golden", GOLDEN.values(), ids=GOLDEN)
def test_the_headers_of_a_golden_record_are_the_documented_ones(golden: Golden) -> None:
    documented = ASYNCAPI["components"]["messages"].get(golden.kind)
    if documented is None:
        return  # it travels in a pack only
    for part in [documented, *(_resolve(trait["$ref"]) for trait in documented["traits"])]:
        Draft202012Validator(part["headers"]).validate(dict(golden.headers))
