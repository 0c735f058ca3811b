"""Any exception as one of our errors."""

from __future__ import annotations

import errno

from phplayer.errors import EnvironmentMissingError, PhplayerError

_REMEDIES = {
    errno.ENOSPC: "Free some space (`phplayer clean` empties phplayer's cache; PHPLAYER_CACHE moves it).",
    errno.EACCES: "Check who owns the file or folder, or run from another folder.",
    errno.EROFS: "Run from a folder that can be written.",
}


def as_error(error: Exception) -> PhplayerError:
    """Name the cause: a full disk or a file that may not be written is the machine's state; the rest are defects."""
    if isinstance(error, PhplayerError):
        return error
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, "Run with --debug to see where.")
        named: PhplayerError = EnvironmentMissingError(f"{error.strerror or error}{where}.", remedy=remedy)
    else:
        named = PhplayerError(
            f"Unexpected {type(error).__name__}: {error}",
            remedy="Run the same command with --debug and report what it prints.",
        )
    named.__cause__ = error
    return named
