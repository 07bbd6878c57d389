"""The one exception family of the project.

Every mistake a user can make is raised as one of these, with a message of a single line that
says what is wrong, where, and how to put it right. `unimo2.cli` catches them in one place.
"""


class Unimo2Error(Exception):
    """Base of all errors that are explained to the user in one line; exit status 1."""

    exit_status: int = 1


class UsageError(Unimo2Error):
    """The command or call cannot be carried out as written; exit status 2."""

    exit_status = 2


class MissingData(UsageError):
    """A data set, file or folder that is needed is not there."""


class BadData(UsageError):
    """A data file is there but does not hold what its format promises."""


class UndefinedMetric(BadData):
    """A metric cannot be computed from the predictions: all of them are the same."""


class BadCheckpoint(UsageError):
    """Weights that are truncated, mis-shaped, unknown or made for another configuration."""


class IncompatibleModel(UsageError):
    """A model lacks the capability that a benchmark needs."""


class TrainingFailed(UsageError):
    """Training cannot continue (loss not finite, disk full); the last checkpoint is kept."""
