"""The published language as documents: a JSON Schema for each message and an AsyncAPI 3 document of all topics.

Made from the code, so that they can not say something else. Pure: who writes the files is `deploy/generate_docs.py`.
"""

from dataclasses import dataclass
from typing import Any

from shared.schemas import topics, wire
from shared.schemas.topics import RETENTION_DAYS, TOPICS, Topic

JsonObject = dict[str, Any]
"""JSON is whatever the document needs at that place."""

TITLE = "Earmark"
DESCRIPTION = (
    "Stock promised exactly once. Messages are CloudEvents 1.0 in Kafka's binary mode: attributes are headers, the value is the JSON of "
    "one message. Batches are compressed by snappy. Of what the allocator says, readers keep one high-water mark for each "
    "`earmark_source`, by `earmark_sequence`, and drop what is not above it. Of orders, inventory and other entities they keep the "
    "highest version."
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What travels on a topic: the kinds of its messages, who writes and who reads them, and what its key is. A topic that nobody writes
    yet is made all the same, because its number of partitions is part of the data model."""

    kinds: tuple[str, ...]
    key: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]


_SKU = "merchant/sku"
_DEMAND = "the demand's id: kind/merchant/id"
_DEMAND_OR_RUN = f"{_DEMAND}; of a bulk run merchant/run"
_PARTITION = "the state partition that wrote it: side/number/incarnation"
TRAFFIC: dict[str, Traffic] = {
    topics.ORDER_INTAKE.name: Traffic(("order_intake",), "the order's id, whatever the channel calls it", (), ("orders",)),
    topics.ORDERS.name: Traffic(("order_changed", "allocation_run_changed"), _DEMAND_OR_RUN, ("orders",), ("allocator",)),
    topics.WORK_ORDERS.name: Traffic((), _DEMAND, (), ()),
    topics.WAREHOUSE_DOCUMENTS.name: Traffic((), _DEMAND, (), ()),
    topics.INVENTORY.name: Traffic(("receive_stock", "adjust_stock"), _SKU, ("inventory",), ("allocator",)),
    topics.RESERVATIONS.name: Traffic(("reservations.pack",), _PARTITION, ("allocator",), ("allocator",)),
    topics.OUTCOMES.name: Traffic(("outcomes.pack",), _PARTITION, ("allocator",), ("allocator",)),
    topics.ALLOCATIONS.name: Traffic(("allocation_changed",), _DEMAND, ("allocator",), ("orders",)),
    topics.MOVEMENTS.name: Traffic(("stock_moved", "stock_command_refused"), _SKU, ("allocator",), ("inventory",)),
    topics.STOCK_LEVELS.name: Traffic(("stock_level_changed",), _SKU, ("allocator",), ("inventory",)),
    topics.DEAD_LETTERS.name: Traffic(("dead_letter",), "as it came", ("orders", "inventory", "allocator"), ()),
}
SERVICES = ("orders", "inventory", "allocator")

# ---------------------------------------------------------------- JSON Schema


def schema_ids() -> tuple[str, ...]:
    """Every kind that has a schema: the messages, and the packs they travel in between the allocator's own partitions."""
    return (*wire.ADAPTERS, *(f"{name}.pack" for name in wire.PACKS))


def json_schema(kind: str) -> JsonObject:
    """The JSON Schema (2020-12) of the value of one kind of record. Its id is what `ce_dataschema` says."""
    adapter = wire.PACKS[kind.removesuffix(".pack")] if kind.endswith(".pack") else wire.ADAPTERS[kind]
    identity = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"earmark:{kind}:{wire.SCHEMA}"}
    return identity | adapter.json_schema()


# ---------------------------------------------------------------- AsyncAPI


def asyncapi(version: str) -> JsonObject:
    """The AsyncAPI 3.0 document of version `version` of the code."""
    messages = {kind: _message(kind) for traffic in TRAFFIC.values() for kind in traffic.kinds}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:earmark",
        "info": {"title": TITLE, "version": version, "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {_channel_id(topic): _channel(topic) for topic in TOPICS},
        "operations": _operations(),
        "components": {"messages": messages, "messageTraits": {"cloudEvent": _cloud_event(), "numbered": _numbered()}},
    }


def _channel_id(topic: Topic) -> str:
    return topic.name.removeprefix(topics.PREFIX)


def _channel(topic: Topic) -> JsonObject:
    traffic = TRAFFIC[topic.name]
    who = "Written and read by the allocator only." if topic.internal else "Anyone may read it."
    cleanup = "compact" if topic.compacted else "delete"
    configuration = {"cleanup.policy": [cleanup], "retention.ms": RETENTION_DAYS * 86_400_000}
    return {
        "address": topic.name,
        "title": _channel_id(topic),
        "description": f"Keyed by {traffic.key}. {who} As many partitions as the {topic.side} side has, for ever.",
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in traffic.kinds},
        "bindings": {"kafka": {"topic": topic.name, "topicConfiguration": configuration, "bindingVersion": "0.5.0"}},
    }


def _operations() -> JsonObject:
    found: JsonObject = {}
    for topic in TOPICS:
        traffic, channel = TRAFFIC[topic.name], _channel_id(topic)
        found |= {f"{service}.send.{channel}": _operation("send", service, channel, traffic) for service in traffic.writers}
        found |= {f"{service}.receive.{channel}": _operation("receive", service, channel, traffic) for service in traffic.readers}
    return found


def _operation(action: str, service: str, channel: str, traffic: Traffic) -> JsonObject:
    return {
        "action": action,
        "title": f"{service} {'writes' if action == 'send' else 'reads'} {channel}",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{kind}"} for kind in traffic.kinds],
        "tags": [{"name": service}],
    }


def _message(kind: str) -> JsonObject:
    if kind == "dead_letter":
        return _dead_letter()
    schema = json_schema(kind)
    return {
        "name": f"earmark.{kind}.{wire.SCHEMA}",
        "title": schema.get("title", kind),
        "summary": " ".join(str(schema.get("description", "Many messages of one batch for one partition.")).split()),
        "traits": _traits(),
        "headers": _type_header(kind),
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./schemas/{kind}.{wire.SCHEMA}.json"},
        },
    }


def _dead_letter() -> JsonObject:
    why = {
        f"earmark_dead_{name}": {"type": "string", "description": text}
        for name, text in {
            "topic": "where the record lay",
            "partition": "its partition",
            "offset": "its offset",
            "field": "the field that is wrong",
            "reason": "what is wrong and what to do",
        }.items()
    }
    headers = _type_header("dead_letter")
    return {
        "name": f"earmark.dead_letter.{wire.SCHEMA}",
        "title": "DeadLetter",
        "summary": "A record of others that could not be read: its key and value as they came, where it lay and why in headers.",
        "traits": _traits(),
        "headers": {**headers, "properties": headers["properties"] | why},
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary", "description": "the bytes as they came"},
    }


def _traits() -> list[JsonObject]:
    return [{"$ref": "#/components/messageTraits/cloudEvent"}, {"$ref": "#/components/messageTraits/numbered"}]


def _type_header(kind: str) -> JsonObject:
    fixed = {"ce_type": f"earmark.{kind}.{wire.SCHEMA}", "ce_dataschema": f"earmark:{kind}:{wire.SCHEMA}"}
    return {"type": "object", "properties": {name: {"type": "string", "const": value} for name, value in fixed.items()}}


def _cloud_event() -> JsonObject:
    return _headers(
        {
            "ce_specversion": "1.0",
            "ce_id": "source and sequence: the same record has the same id when it is published again",
            "ce_source": "who wrote it",
            "ce_type": "earmark.<kind>.<version of the schema>",
            "ce_time": "the logical time of the batch, ISO 8601, UTC",
            "ce_subject": "what it is about: the key",
            "ce_dataschema": "earmark:<kind>:<version of the schema>",
            "content-type": "application/json",
        },
        {"traceparent": "W3C Trace Context, of an order whose request or intake record had one"},
    )


def _numbered() -> JsonObject:
    return _headers(
        {
            "earmark_source": "the writer whose records are numbered",
            "earmark_sequence": "rises with every record of that source; of the allocator's, drop what is not above the highest seen",
        }
    )


def _headers(described: dict[str, str], optional: dict[str, str] | None = None) -> JsonObject:
    properties = {name: {"type": "string", "description": text} for name, text in (described | (optional or {})).items()}
    return {"headers": {"type": "object", "properties": properties, "required": list(described)}}
