"""What can go wrong on the command line: each message is one sentence with the remedy, and ends the command with status 1."""


class ConsoleError(Exception):
    """The command could not do what was asked. The message says why and what helps."""
