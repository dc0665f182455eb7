"""What an error of the database asks for, by its SQLSTATE."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolIsEmpty

from shared.database import Fault, classify, constraint, server_settings, sqlstate

ERRORS = [
    (asyncpg.ConnectionDoesNotExistError("08003"), Fault.RETRY),
    (asyncpg.DeadlockDetectedError("40P01"), Fault.RETRY),
    (asyncpg.SerializationError("40001"), Fault.RETRY),
    (asyncpg.DiskFullError("53100"), Fault.RETRY),
    (asyncpg.TooManyConnectionsError("53300"), Fault.RETRY),
    (asyncpg.AdminShutdownError("57P01"), Fault.RETRY),
    (asyncpg.CannotConnectNowError("57P03"), Fault.RETRY),
    (asyncpg.QueryCanceledError("57014"), Fault.RETRY),
    (asyncpg.LockNotAvailableError("55P03"), Fault.RETRY),
    (asyncpg.IdleInTransactionSessionTimeoutError("25P03"), Fault.RETRY),
    (asyncpg.InterfaceError("connection is closed"), Fault.RETRY),
    (RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"), Fault.RETRY),
    (RuntimeError("ours"), Fault.OTHER),
    (ConnectionRefusedError(), Fault.RETRY),
    (TimeoutError(), Fault.RETRY),
    (PoolIsEmpty(), Fault.RETRY),
    (asyncpg.NumericValueOutOfRangeError("22003"), Fault.DATA),
    (asyncpg.CharacterNotInRepertoireError("22021"), Fault.DATA),
    (asyncpg.UniqueViolationError("23505"), Fault.DATA),
    (asyncpg.CheckViolationError("23514"), Fault.DATA),
    (asyncpg.UndefinedTableError("42P01"), Fault.OTHER),
    (asyncpg.InsufficientPrivilegeError("42501"), Fault.OTHER),
    (ValueError("ours"), Fault.OTHER),
]


@pytest.mark.parametrize(("error", "fault"), ERRORS, ids=[f"{type(error).__name__}-{fault.value}" for error, fault in ERRORS])
def test_an_error_means_the_same_bare_and_inside_sqlalchemys(error: Exception, fault: Fault) -> None:
    assert classify(error) is fault
    assert classify(DBAPIError("SELECT 1", {}, error)) is fault


def test_the_constraint_and_the_state_are_found_through_the_layers() -> None:
    violated = asyncpg.UniqueViolationError("duplicate key")
    violated.constraint_name = "order_pkey"
    around = DBAPIError("INSERT", {}, violated)
    assert (constraint(around), sqlstate(around)) == ("order_pkey", "23505")
    assert constraint(ValueError()) is None


def test_every_session_has_the_time_outs_without_which_a_frozen_server_hangs_it_for_ever() -> None:
    told = server_settings("orders")
    assert {
        name: told[name] for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "tcp_user_timeout")
    } == {
        "statement_timeout": "4500",
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "5000",
        "tcp_user_timeout": "10000",
    }
