"""A wrong setting is named, with the remedy, before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.allocator.app import policy_of
from shared.schemas.values import DemandKind, Fill, Strategy
from shared.settings import SettingRefused, settings

SECRET = "postgresql://earmark:swordfish@db/earmark"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("EARMARK_")]:
        monkeypatch.delenv(name)


WRONG = [
    ("EARMARK_STOCK_PARTITIONS", "many"),
    ("EARMARK_STOCK_PARTITIONS", "0"),
    ("EARMARK_ORDERS_PORT", "70000"),
    ("EARMARK_KAFKA_REPLICATION", "0"),
    ("EARMARK_LOG_LEVEL", "LOUD"),
    ("EARMARK_MAX_WAIT_SECONDS", "-1"),
    ("EARMARK_DEFAULT_FILL", "half"),
    ("EARMARK_DEFAULT_STRATEGY", "fastest"),
]


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingRefused, match=f"{variable} is refused: .*; correct it or unset it"):
        settings()


@pytest.mark.parametrize("address", ["a:b", ":", ":9092", "h:99999", "http://x:9092", "a:1,,b:2", "[::1:9092"])
def test_what_can_be_no_broker_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_KAFKA", address)
    with pytest.raises(SettingRefused, match="EARMARK_KAFKA is not of the form host:port, several by comma: correct it"):
        settings()


@pytest.mark.parametrize("address", ["a:1", "a", "a:1,b:2", "a:1, b.example:2", "[::1]:9092", "127.0.0.1:9092"])
def test_what_may_be_brokers_is_taken(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_KAFKA", address)
    assert settings().bootstrap == address


@pytest.mark.parametrize("hosts", ["db", "u:p@db:5432", "u:p%5B@a:1,b:2", "", "u@[::1]:5432"])
def test_addresses_that_postgres_knows_are_taken(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_POSTGRES", f"postgresql://{hosts}/earmark?sslmode=require")
    assert hosts in settings().dsn


def test_a_setting_that_is_missing_is_named_where_it_is_needed() -> None:
    found = settings()
    for read, variable in [("bootstrap", "EARMARK_KAFKA"), ("dsn", "EARMARK_POSTGRES"), ("pepper", "EARMARK_API_KEY_PEPPER")]:
        with pytest.raises(SettingRefused, match=f"{variable} is not set: give "):
            getattr(found, read)


def test_settings_come_from_the_environment_and_what_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_KAFKA", "a:1")
    monkeypatch.setenv("EARMARK_RELAY_SHARDS", "7")
    assert settings().bootstrap == "a:1"
    assert settings(kafka="b:2").bootstrap == "b:2"
    assert settings().relay_shards == 7


def test_what_holds_where_an_order_says_nothing_is_the_policy_that_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_DEFAULT_WAREHOUSES", "south, main")
    monkeypatch.setenv("EARMARK_DEFAULT_FILL", "all_or_nothing")
    monkeypatch.setenv("EARMARK_DEFAULT_STRATEGY", "lifo")
    policy = policy_of(settings())
    assert (policy.default_warehouses, policy.strategy) == (("south", "main"), Strategy.LIFO)
    assert policy.fill[DemandKind.SALES_ORDER] is Fill.ALL_OR_NOTHING


@pytest.mark.parametrize("value", ["", "main,,south", "no warehouse", ",".join(["w"] * 17)])
def test_warehouses_that_can_not_be_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_DEFAULT_WAREHOUSES", value)
    with pytest.raises(SettingRefused, match="EARMARK_DEFAULT_WAREHOUSES"):
        settings()


def test_a_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dsn").write_text(f"{SECRET}\n")
    monkeypatch.setenv("EARMARK_POSTGRES_FILE", str(tmp_path / "dsn"))
    assert settings().dsn == SECRET
    monkeypatch.setenv("EARMARK_POSTGRES_FILE", str(tmp_path / "nothing"))
    with pytest.raises(SettingRefused, match=r"EARMARK_POSTGRES_FILE names .*make it readable"):
        settings()


def test_a_secret_does_not_show_where_settings_are_printed_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "swordfish" not in repr(settings(postgres=SECRET))
    monkeypatch.setenv("EARMARK_API_KEY_PEPPER", "swordfish")
    with pytest.raises(SettingRefused) as refused:
        settings(orders_port="swordfish")
    assert "swordfish" not in str(refused.value)


def test_a_short_pepper_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_API_KEY_PEPPER", "too short")
    with pytest.raises(SettingRefused, match="EARMARK_API_KEY_PEPPER is shorter than 32"):
        settings()


def test_more_copies_can_not_be_required_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_KAFKA_REPLICATION", "1")
    with pytest.raises(SettingRefused, match=r"EARMARK_KAFKA_MIN_INSYNC is 2 and EARMARK_KAFKA_REPLICATION only 1: .*1 and 1 for a single"):
        settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        settings().relay_shards = 9  # type: ignore[misc]  # the point of the test
