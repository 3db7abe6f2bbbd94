"""Waiting work in a fair order: sessions take turns, and each session's own work keeps the order it came in."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Round robin over sessions; a newcomer joins at the end of the round. Several sessions may wait for one item.

    Nobody waits for more than one item of each other session, however many those have asked for.
    """

    def __init__(self) -> None:
        self._round: dict[str, list[T]] = {}  # {session: its waiting items}; the first one is next

    def __len__(self) -> int:
        return len(self.order())

    def add(self, item: T, session: str) -> None:
        """Lets the session wait for the item."""
        items = self._round.setdefault(session, [])
        if item not in items:
            items.append(item)

    def drop(self, item: T, session: str) -> None:
        """The session no longer waits for the item."""
        items = self._round.get(session, [])
        if item in items:
            items.remove(item)
            if not items:
                del self._round[session]

    def take(self) -> T | None:
        """The next item, None if nothing waits; its session goes to the end of the round."""
        if not self._round:
            return None
        return _take(self._round)

    def order(self) -> list[T]:
        """All waiting items, as they would be taken if nothing else came."""
        left = {session: list(items) for session, items in self._round.items()}
        found = []
        while left:
            found.append(_take(left))
        return found


def _take(waiting: dict[str, list[T]]) -> T:
    first = next(iter(waiting))
    item = waiting[first][0]
    mine = waiting.pop(first)[1:]
    for session in [s for s, items in waiting.items() if item in items]:
        waiting[session].remove(item)
        if not waiting[session]:
            del waiting[session]
    if mine:
        waiting[first] = mine
    return item
