"""The exception tree and its exit codes.

``SirendError``
├── ``UsageError``    64  the command line asks for something that does not exist
├── ``InputError``    66  an input file is missing, empty or not readable as audio
├── ``DeviceError``   69  the microphone, its library, the broker or an output cannot be used
└── ``ConfigError``   78  the configuration or the model bundle is wrong

Each message says what is wrong, where, and what to do. Anything else that reaches the command line is a bug: exit code
70 and a traceback. The numbers are those of BSD's sysexits.h, which systemd's ``RestartPreventExitStatus=`` can act on.
"""

from __future__ import annotations


class SirendError(Exception):
    """A condition that the user can mend; the command line prints it on one line and exits with ``exit_code``."""

    exit_code = 70


class UsageError(SirendError):
    """The command line asks for something that does not exist."""

    exit_code = 64


class InputError(SirendError):
    """An input file is missing, empty or not readable as audio."""

    exit_code = 66


class DeviceError(SirendError):
    """The microphone, its library, the broker or an output cannot be used."""

    exit_code = 69


class ConfigError(SirendError):
    """The configuration or the model bundle is wrong; ``problems`` lists every one of them."""

    exit_code = 78

    def __init__(self, where: str, problems: list[str]) -> None:
        """Join ``problems`` (each a full sentence) under ``where``, the file or bundle they were found in."""
        self.where = where
        self.problems = tuple(problems)
        super().__init__(f"{where}: " + "; ".join(problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, list[str]]]:
        """Say how another process makes it: a pool waits for ever for an error that does not reach it."""
        return ConfigError, (self.where, list(self.problems))
