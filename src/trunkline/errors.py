"""The errors that Trunkline raises on purpose: one small tree.

Adapters translate the errors of libraries into it; the command line prints the message, then the hint, and
leaves with `exit_code`. A situation that is expected in normal service (a member is down, a check failed) is a
value of the model, not an error.
"""


class TrunklineError(Exception):
    """What could not be done, in lower case without a full stop, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TrunklineError):
    """The command was called in a way that cannot work."""

    exit_code = 2


class SettingsError(UsageError):
    """The settings are wrong; `message` holds every fault at once, one a line, each with its path in the file."""


class PatroniError(TrunklineError):
    """A Patroni REST API gave no usable answer."""


class SilentError(PatroniError):
    """The API took no connection, or gave no answer in time: silence, which says nothing about PostgreSQL."""


class WrongScopeError(PatroniError):
    """The API that answered belongs to another cluster than the settings name."""

    exit_code = 2


class StoreError(TrunklineError):
    """The cluster's store gave no usable answer."""


class IntentsError(TrunklineError):
    """What people have asked for cannot be read, or not be kept."""


class HAProxyError(TrunklineError):
    """HAProxy is missing, too old, refused a configuration, or did not start."""


class RuntimeSocketError(HAProxyError):
    """HAProxy's admin or master socket gave no usable answer."""


class PostgresError(TrunklineError):
    """PostgreSQL gave no usable answer."""


class LabError(TrunklineError):
    """The local cluster could not be brought up, changed or stopped."""
