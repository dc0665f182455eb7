"""What an operator is told when a command or a service can not go on: one sentence, with the remedy. One place for all of them, because
the same refusal of Postgres or Kafka reaches us through asyncpg, SQLAlchemy, aiokafka or the system.
"""

import errno

import asyncpg
from aiokafka.errors import KafkaError

from services.console.errors import ConsoleError
from shared.database import DatabaseError, Fault, causes, classify, sqlstate
from shared.kafka import KafkaUnreachable, TooFewBrokers, WorldChanged
from shared.local.errors import LocalStackError
from shared.settings import SettingRefused

_OURS = (ConsoleError, LocalStackError, KafkaUnreachable, TooFewBrokers, WorldChanged, DatabaseError, SettingRefused)
_OF_FOLDERS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT}
_BY_STATE = {
    "28": "Postgres refuses the user or the password of EARMARK_POSTGRES ({told}): correct them",
    "3D000": "Postgres has no such database ({told}): create it, or correct EARMARK_POSTGRES",
    "42P01": "the database lacks tables that this version needs ({told}): run `earmark migrate`",
    "3F000": "the database lacks tables that this version needs ({told}): run `earmark migrate`",
    "25006": "Postgres takes no changes there, not even temporary tables ({told}): let EARMARK_POSTGRES name the primary",
    "42501": "the user of EARMARK_POSTGRES may not do this ({told}): let it own the database, or be granted that",
    "53100": "Postgres has no room left on its disk ({told}): make room and run this again",
    "57014": "Postgres did not come to an end in the time that we allow ({told}): run this again when it is less busy",
    "40": "others changed the same rows at the same time ({told}): run this again",
    "55": "others hold the same rows ({told}): run this again",
    "53": "Postgres can not serve one more now ({told}): run this again later, or give it more connections or memory",
}
_AWAY = (
    "Postgres does not answer ({told}): start the server, or correct EARMARK_POSTGRES; a private one, which nobody named, is started by "
    "`earmark up`"
)
_ADDRESS = "EARMARK_POSTGRES is refused ({told}): give postgresql://user:password@host:port/database"
_KAFKA = "Kafka does not serve this ({told}): check that the brokers of EARMARK_KAFKA run, then run this again"
_FOLDER = "{told}: make room or give access there, or choose another folder with --data"


def sentence(error: BaseException) -> str | None:
    """What happened and what helps. None for what nobody expects: that is a fault of ours, and its traceback is wanted."""
    if isinstance(error, _OURS):
        return str(error)
    if isinstance(error, KafkaError):
        return _KAFKA.format(told=_words(error))
    if any(isinstance(cause, asyncpg.ClientConfigurationError) for cause in causes(error)):
        return _ADDRESS.format(told=_words(error))
    if (state := sqlstate(error)) and (known := _BY_STATE.get(state) or _BY_STATE.get(state[:2])):
        return known.format(told=_words(error))
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _OF_FOLDERS):
        where = f" ({error.filename})" if error.filename else ""
        return _FOLDER.format(told=f"{error.strerror or error}{where}")
    return _AWAY.format(told=_words(error)) if classify(error) is Fault.RETRY else None


def _words(error: BaseException) -> str:
    """The words of whoever refused first, without SQLAlchemy's around them, which quote the statement. Time-outs have none."""
    told = [words for cause in causes(error) if (words := " ".join(str(cause).split()))]
    return told[-1] if told else "no answer in time"
