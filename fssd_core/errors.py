"""Errors a user can cause: each says what was given, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class FssdError(Exception):
    """Something the user can mend; the message is shown as it is (a page's error box, or one line and exit code 2)."""


class DataError(FssdError):
    """A data set is missing, damaged, empty or of the wrong shape."""


class ModelError(FssdError):
    """A model or its weight file cannot be used."""


class InputError(FssdError):
    """An argument is outside what is allowed."""


class MemoryShortError(FssdError):
    """One sample does not fit into the device's memory."""


class CancelledError(FssdError):
    """The user stopped the work; nothing half done was kept."""


class StoreWarning(UserWarning):
    """The store could not read or write an entry; the work goes on without it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean 'odin'?' when a known name is close, else a list of the known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else "; none is known"


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """The table's entry of that name.

    Raises:
        InputError: no such name; the message suggests the nearest.
    """
    try:
        return table[name]
    except KeyError:
        raise InputError(f"no {what} {name!r}{did_you_mean(name, table)}") from None


def first_line(error: BaseException) -> str:
    """The first line of what another library's error says, at most 160 characters, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
