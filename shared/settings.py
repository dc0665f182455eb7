"""Everything that differs between installations, read once from the environment at start. Knows names and bounds, no behaviour.

`settings()` is called in the wiring of an application and the result is passed on: there is no global.
"""

import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.schemas.topics import RETENTION_DAYS
from shared.schemas.values import MAX_WAREHOUSES, Fill, Strategy, Warehouse

PREFIX = "EARMARK_"
_SECRETS = ("postgres", "api_key_pepper")
_Port = Annotated[int, Field(ge=1, le=65535)]
_Partitions = Annotated[int, Field(ge=1, le=256)]


class SettingRefused(Exception):
    """A setting is missing or wrong. Set the environment variable that is named and start again."""


class Settings(BaseSettings):
    """The settings of one process, frozen. Every field is the variable `EARMARK_` plus its name in capitals.

    A secret may also lie in a file: `EARMARK_POSTGRES_FILE`, `EARMARK_API_KEY_PEPPER_FILE` name it.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    kafka: str | None = None
    """Bootstrap servers, `host:port[,host:port]`. None: `earmark` runs a private broker and passes its address on."""
    postgres: SecretStr | None = None
    """`postgresql://user:password@host:port/database`. None: as with Kafka."""
    api_key_pepper: SecretStr | None = None
    """Without it a stolen table of API keys can not be tried offline. At least 32 characters; a change makes every key invalid."""
    data: Path = Path(".earmark")
    """Where the private servers keep their files."""

    stock_partitions: _Partitions = 8
    demand_partitions: _Partitions = 8
    kafka_replication: Annotated[int, Field(ge=1, le=15)] = 3
    """Copies of every record, on as many brokers; for topics that `earmark migrate` makes. 1 for a single broker."""
    kafka_min_insync: Annotated[int, Field(ge=1, le=15)] = 2
    """Copies that must be written before a record counts: with 2 of 3 one broker may be away and one may be lost."""
    relay_shards: Annotated[int, Field(ge=1, le=64)] = 4
    max_outbox_rows: Annotated[int, Field(ge=100)] = 100_000
    """Commands are answered with 503 while more events than this wait in the outbox for Kafka."""

    host: str = "127.0.0.1"
    orders_port: _Port = 8001
    inventory_port: _Port = 8002
    allocator_port: _Port = 8003
    allocator_url: str = "http://127.0.0.1:8003"
    """Where the allocator's read-only HTTP answers."""

    default_warehouses: Annotated[tuple[Warehouse, ...], NoDecode, Field(min_length=1, max_length=MAX_WAREHOUSES)] = ("main",)
    """Where an order is allocated that names no warehouse, in order of preference: `main,south`."""
    default_fill: Fill = Fill.PARTIAL
    """How an order is filled that does not say: `partial`, `whole_lines` or `all_or_nothing`."""
    default_strategy: Strategy = Strategy.FEFO
    """Which stock records serve first where an order does not say: `fefo`, `fifo`, `lifo` or `fewest_records`."""

    max_body_bytes: Annotated[int, Field(ge=1_024, le=2**24)] = 256 * 1024
    max_bulk_body_bytes: Annotated[int, Field(ge=1_024, le=2**26)] = 5 * 1024 * 1024
    max_wait_seconds: Annotated[float, Field(gt=0, le=60)] = 30.0
    """The longest `Prefer: wait`."""
    pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    max_waiting_requests: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Requests wait for the database in the order in which they came; more than this are answered with 503 at once."""
    max_connections: Annotated[int, Field(ge=10, le=100_000)] = 1_000
    """Connections of one process; where one more comes, the client that has kept it waiting longest is cut off."""
    requests_per_second: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    """How many requests one API key may make in all processes of a service; more are answered with 429. Twice as many at once after a
    pause."""
    unknown_requests_per_second: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    """The same for one address whose requests bring no valid API key. Behind a proxy set FORWARDED_ALLOW_IPS, or all have its address."""
    group_session_ms: Annotated[int, Field(ge=1_000, le=60_000)] = 6_000
    """A process that says nothing for so long is taken for dead, and its state partitions go to the others."""
    keep_days: Annotated[int, Field(ge=RETENTION_DAYS, le=36_500)] = RETENTION_DAYS
    """How long the allocator remembers what has ended: closed and shipped demands, the tombstones of their reservations, batches,
    settled dead letters. Not shorter than topics are kept, because what still lies there may be read again. Movements are kept for ever."""
    world_check_seconds: Annotated[float, Field(gt=0, le=3_600)] = 15.0
    """How often a running allocator asks whether Kafka is still the one that Postgres remembers."""
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"

    @field_validator("default_warehouses", mode="before")
    @classmethod
    def _by_comma(cls, value: Any) -> Any:
        return tuple(one.strip() for one in value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: Any) -> Any:
        for name in _SECRETS:
            path = os.environ.get(f"{PREFIX}{name.upper()}_FILE")
            if path and not values.get(name):
                values[name] = _secret_from(path, f"{PREFIX}{name.upper()}_FILE")
        return values

    @field_validator("kafka")
    @classmethod
    def _is_a_list_of_brokers(cls, value: str | None) -> str | None:
        if value and not _are_hosts(value):
            raise SettingRefused(f"{PREFIX}KAFKA is not of the form host:port, several by comma: correct it")
        return value

    @field_validator("postgres")
    @classmethod
    def _is_an_address(cls, value: SecretStr | None) -> SecretStr | None:
        if (address := _text(value)) and not _is_of_postgres(address):
            raise SettingRefused(f"{PREFIX}POSTGRES is not of the form postgresql://user:password@host:port/database: correct it")
        return value

    @model_validator(mode="after")
    def _pepper_is_long(self) -> "Settings":
        if self.api_key_pepper is not None and len(self.api_key_pepper.get_secret_value()) < 32:
            raise SettingRefused(f"{PREFIX}API_KEY_PEPPER is shorter than 32 characters: make one with `openssl rand -hex 32`")
        return self

    @model_validator(mode="after")
    def _copies_can_be_written(self) -> "Settings":
        if self.kafka_min_insync > self.kafka_replication:
            raise SettingRefused(
                f"{PREFIX}KAFKA_MIN_INSYNC is {self.kafka_min_insync} and {PREFIX}KAFKA_REPLICATION only {self.kafka_replication}: nothing "
                "could ever be written; give at most one less than there are copies, or 1 and 1 for a single broker"
            )
        return self

    @property
    def bootstrap(self) -> str:
        """Kafka's address. Raises SettingRefused where none was given."""
        return _given("kafka", self.kafka, "host:port of a broker, or start the services with `earmark up`")

    @property
    def dsn(self) -> str:
        """Postgres, with its password: never log it. Raises SettingRefused where none was given."""
        wanted = "postgresql://user:password@host:port/database, or start the services with `earmark up`"
        return _given("postgres", _text(self.postgres), wanted)

    @property
    def pepper(self) -> bytes:
        """The key of the API keys' hashes. Raises SettingRefused where none was given."""
        wanted = "at least 32 random characters (`openssl rand -hex 32`), the same for every service"
        return _given("api_key_pepper", _text(self.api_key_pepper), wanted).encode()


def settings(**given: Any) -> Settings:
    """Read and check the settings; `given` wins over the environment. Raises SettingRefused, which names variable and remedy."""
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingRefused("; ".join(_sentence(dict(found)) for found in error.errors(include_url=False))) from None


def _is_of_postgres(address: str) -> bool:
    """What asyncpg itself would not say in words. A password may hold anything but a slash, a question mark and a hash, as in every URL."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    hosts = parts.netloc.rpartition("@")[2]
    return parts.scheme in {"postgresql", "postgres"} and (not hosts or _are_hosts(hosts))


def _are_hosts(addresses: str) -> bool:
    """`host[:port]`, several by comma."""
    try:
        found = [(parts, parts.port) for parts in (urlsplit(f"//{one.strip()}") for one in addresses.split(","))]
    except ValueError:
        return False
    return all(parts.hostname and not parts.path and port != 0 for parts, port in found)


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _given(name: str, value: str | None, wanted: str) -> str:
    if not value:
        raise SettingRefused(f"{PREFIX}{name.upper()} is not set: give {wanted}")
    return value


def _secret_from(path: str, variable: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingRefused(f"{variable} names {path}, which can not be read ({error}): make it readable or unset the variable") from None


def _sentence(found: dict[str, Any]) -> str:
    name = ".".join(map(str, found["loc"])).upper()
    if found["type"] == "extra_forbidden":
        return f"{PREFIX}{name} is not a setting: take it out"
    return f"{PREFIX}{name} is refused: {found['msg'][0].lower()}{found['msg'][1:]}; correct it or unset it to use the default"
