"""Who uses the dashboard at the same time: sessions by name, whether their tab is open, a folder of each one's own."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from pathlib import Path

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from fssd_core.errors import InputError
from fssd_core.memory import installed
from fssd_core.runs import list_runs
from fssd_core.store import default_root

KEPT = 15 * 60.0  # seconds that a closed tab's uploads stay
LEFT_BEHIND = 24 * 3600.0  # seconds after which uploads of an ended server are removed
CORES_A_SEAT = 4
MOST_SEATS = 4


def name() -> str:
    """This session's name; '' outside of one."""
    context = get_script_run_ctx(suppress_warning=True)
    return "" if context is None else context.session_id


def present(session: str) -> bool:
    """Whether the session's tab is connected; always, where no server runs."""
    return not runtime.exists() or runtime.get_instance().is_active_session(session)


def seats() -> int:
    """Computing processes at most: $FSSD_WORKERS, else one for every four cores, one to four.

    Raises:
        InputError: $FSSD_WORKERS is no number from 1 to 64.
    """
    return _number("FSSD_WORKERS", 64) or min(MOST_SEATS, max(1, (os.cpu_count() or 1) // CORES_A_SEAT))


def memory() -> int:
    """Bytes that an idle computing process may hold: $FSSD_WORKER_MEMORY in MiB, else its share of half the memory.

    Raises:
        InputError: $FSSD_WORKER_MEMORY is no number of MiB.
    """
    asked = _number("FSSD_WORKER_MEMORY", 2**24)
    return asked * 2**20 if asked else max(2**30, installed() // 2 // seats())


def _number(variable: str, most: int) -> int | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InputError(f"{variable}={text!r} was given; it is a whole number from 1 to {most}")
    return int(text)


def own_folder() -> Path:
    """The folder of this session's uploads; its name cannot be guessed, and it goes when the tab is long closed."""
    if "_own_folder" not in st.session_state:
        folder = default_root() / "uploads" / secrets.token_hex(8)
        st.session_state["_own_folder"] = folder
        _caretaker().watch(folder, name())
    return Path(st.session_state["_own_folder"])


@st.cache_resource(show_spinner=False)
def _caretaker() -> Caretaker:
    return Caretaker(default_root() / "uploads")


class Caretaker:
    """Removes uploads of tabs that are long closed, and of servers that ended.

    Args:
        root: holds one folder a session.
        kept: seconds that a closed tab's uploads stay.
        every: seconds between looks.
    """

    def __init__(self, root: Path, *, kept: float = KEPT, every: float = 30.0) -> None:
        self._root, self._kept, self._every = root, kept, every
        self._seen: dict[Path, tuple[str, float]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._loop, daemon=True, name="fssd-uploads").start()

    def watch(self, folder: Path, session: str) -> None:
        """From now on the folder belongs to that session."""
        with self._lock:
            self._seen[folder] = (session, time.monotonic())

    def look(self) -> list[Path]:
        """Removes what nobody can reach any more, and gives it; a folder that a run still trains on stays."""
        now = time.monotonic()
        with self._lock:
            for folder, (session, _) in self._seen.items():
                if present(session):
                    self._seen[folder] = (session, now)
            gone = [folder for folder, (_, seen) in self._seen.items() if now - seen > self._kept]
            known = set(self._seen)
        gone += [f for f in _folders(self._root) if f not in known and _age(f) > LEFT_BEHIND]
        if gone:
            used = [f"{r.spec.data} {' '.join(r.spec.ood)}" for r in list_runs() if r.active and r.spec]
            gone = [folder for folder in gone if not any(str(folder) in words for words in used)]
        for folder in gone:
            shutil.rmtree(folder, ignore_errors=True)
        with self._lock:
            for folder in gone:
                self._seen.pop(folder, None)
        return gone

    def _loop(self) -> None:
        while True:
            self.look()
            time.sleep(self._every)


def _folders(root: Path) -> list[Path]:
    return [path for path in root.glob("*") if path.is_dir()]


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
