"""What the pages share: the store, the worker, the current study, people's own files. The only user of st.cache_*."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import streamlit as st

from app import people, theme
from app.jobs import WAITING, Job, Workers
from app.names import inert, title_of
from fssd_core.atomic import sweep, write_bytes
from fssd_core.data.files import IMAGE_ENDINGS, SET_ENDINGS
from fssd_core.errors import CancelledError, FssdError
from fssd_core.leaks import SMALL, Leak, find_leaks, whole_sets
from fssd_core.models.factories import allowed
from fssd_core.models.program_flag import ENDING as PROGRAM_ENDING
from fssd_core.models.program_flag import programs_allowed
from fssd_core.runtime import describe_device, pick_device
from fssd_core.store import Store
from fssd_core.study import Study, open_data, study_layers

ASSETS = Path(__file__).resolve().parent.parent / "assets"
SHIPPED = (ASSETS / "store", ASSETS / "corruptions")
WEIGHT_ENDINGS = (".safetensors", ".pt", ".pth", PROGRAM_ENDING)
MAX_OFFERED = 200
POLL, POLL_WAITING = 0.4, 1.0  # seconds between looks at a job that runs, or is next; at one that waits
T = TypeVar("T")


def data_root() -> Path | None:
    """The operator's folder of data and weights, if one was given."""
    root = os.environ.get("FSSD_DATA_ROOT")
    return Path(root) if root else None


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """The store of all sessions: the user's own results over the shipped ones, swept of what killed writers left."""
    found = Store(shipped=SHIPPED)
    sweep(found.root)
    return found


@st.cache_resource(show_spinner=False)
def worker() -> Workers:
    """The computing processes of all sessions, and the one line that waits for them."""
    return Workers(
        store().root,
        store().shipped,
        data_root(),
        seats=people.seats(),
        memory=people.memory(),
        present=people.present,
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def remembered(slot: str, _make: Callable[[], T]) -> T:
    """What `_make` gives, kept for all sessions by a slot that says everything it depends on; errors are not kept."""
    return _make()


@st.cache_resource(max_entries=128, show_spinner=False)
def drawn(slot: str, _make: Callable[[], T]) -> T:
    """A figure, made once for all sessions by a slot that says everything it shows; nobody changes it afterwards."""
    return _make()


@st.cache_data(ttl=5, show_spinner=False)
def device_line() -> str:
    """What computes, and its memory."""
    return describe_device(pick_device())


@contextmanager
def guard() -> Iterator[None]:
    """Shows a user's error as one clear message and ends the page there; the app goes on."""
    try:
        yield
    except CancelledError:
        st.info("Stopped. Nothing half done was kept.")
        st.stop()
    except FssdError as error:
        st.error(inert(str(error)), icon=":material/error:")
        st.stop()


def set_study(study: Study) -> None:
    """Makes this the study that the pages show."""
    st.session_state["_study"] = study


def current_study() -> Study:
    """The study of the sidebar."""
    study = st.session_state["_study"]
    if not isinstance(study, Study):
        raise TypeError("the sidebar must set the study first")
    return study


def current_layer() -> str:
    """The sidebar's layer, if the study has it, else the last one."""
    layers = study_layers(current_study())
    layer = st.session_state.get("layer")
    return layer if layer in layers else layers[-1]


def own_files(kind: str) -> list[str]:
    """References of this session's uploads and of the data root, for 'data' or 'model'."""
    uploaded: list[str] = st.session_state.setdefault(f"_own_{kind}", [])
    factories = allowed() if kind == "model" else []
    return [*uploaded, *offered(kind), *factories]


@st.cache_data(ttl=10, show_spinner=False)
def offered(kind: str) -> list[str]:
    """Files and image folders below the data root, at most two folders down; links that lead outside are left out."""
    root = data_root()
    if root is None:
        return []
    found = []
    for path in below(root):
        endings = SET_ENDINGS
        if kind == "model":
            endings = tuple(e for e in WEIGHT_ENDINGS if e != PROGRAM_ENDING or programs_allowed())
        is_file = path.is_file() and path.name.lower().endswith(endings)
        if is_file or (kind == "data" and path.is_dir() and _holds_images(path)):
            found.append(str(path))
    return found[:MAX_OFFERED]


def below(root: Path) -> Iterator[Path]:
    """What lies at most two folders below the root, in order; hidden names and links that lead outside are left out."""
    base = root.resolve()
    for path in sorted([*base.glob("*"), *base.glob("*/*")]):
        if path.resolve().is_relative_to(base) and not path.name.startswith("."):
            yield path


def _holds_images(folder: Path) -> bool:
    inside = [*folder.glob("*"), *folder.glob("*/*")]
    return any(p.suffix.lower() in IMAGE_ENDINGS for p in inside[:500])


def keep_upload(
    name: str,
    content: bytes,
    kind: str,
    *,
    folder: str | None = None,
    check: Callable[[str], object] | None = None,
    offer: bool = True,
) -> str:
    """Writes an upload below the user's own folder and gives its path; the name is made harmless.

    Args:
        name: the file's name as the browser sent it.
        content: its bytes.
        kind: 'data' or 'model'.
        folder: name of a folder to put it into (images that belong together).
        check: reads the result and raises what is wrong with it; such an upload is not kept.
        offer: whether it is listed under model, ind and ood from now on.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).name).strip("._") or "upload"
    place = people.own_folder() / (folder or hashlib.sha256(content).hexdigest()[:16])
    path = place / safe
    write_bytes(path, content)
    reference = str(place if folder else path)
    if check is not None:
        try:
            check(reference)
        except FssdError:
            shutil.rmtree(place, ignore_errors=True)
            raise
    own: list[str] = st.session_state.setdefault(f"_own_{kind}", [])
    if offer and reference not in own:
        own.append(reference)
    return reference


def run_job(name: str, call: str, study: Study, args: dict[str, object]) -> Job:
    """Submits the work and shows its progress with a Cancel button; the page reruns when it is over."""
    slot = f"_job:{call}:{study}:{args}"
    job: Job | None = st.session_state.get(slot)
    if job is None:
        job = worker().submit(name, call, study, args, session=people.name())
        st.session_state[slot] = job
    if job.over:
        _show_outcome(job, slot)
    else:
        st.fragment(_show_progress, run_every=POLL if worker().place(job)[0] <= 1 else POLL_WAITING)(job)
    return job


def _show_outcome(job: Job, slot: str) -> None:
    for note in job.warnings:
        st.warning(inert(note))
    if job.state == "failed":
        st.error(
            inert(job.error if not job.bug else f"This is a defect of the dashboard: {job.error}"),
            icon=":material/error:",
        )
    elif job.state == "cancelled":
        st.info(f"{job.name}: stopped.")
    else:
        del st.session_state[slot]
        return
    if st.button("Try again", key=f"{slot}:again"):
        del st.session_state[slot]
        st.rerun()


def _show_progress(job: Job) -> None:
    if job.over:
        st.rerun()
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.progress(job.share, text=f"**{inert(job.name)}** · {standing(job)}")
    if right.button("Cancel", key=f"cancel:{id(job)}", icon=":material/close:", width="stretch"):
        worker().cancel(job)
        st.rerun()


def standing(job: Job) -> str:
    """Where the job stands, in words: its place in the line, or how much of it is done."""
    if job.state == WAITING:
        place, running = worker().place(job)
        if not place:
            return "starts now"
        busy = f"{running} at work" if running > 1 else "1 at work"
        return f"{ordinal(place)} in line, {busy}" if running else f"{ordinal(place)} in line"
    return f"{job.what}: {job.done:,} of {job.total:,}" if job.total else "the computing process starts"


def ordinal(number: int) -> str:
    """'1st', '2nd', '3rd', '4th', '11th', '21st' ..."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def mode() -> theme.Mode:
    """'light' or 'dark', as the browser shows the page."""
    return "dark" if st.context.theme.type == "dark" else "light"


def show_notes(study: Study) -> tuple[Leak, ...]:
    """What must be known of the chosen sets: converted images, files that could not be read; gives their leaks."""
    for ref in (study.ind, *study.ood):
        notes = open_data(study, ref, root=data_root()).notes
        if notes:
            st.warning(f"**{inert(title_of(ref))}**: {inert('. '.join(notes))}", icon=":material/info:")
    found = leaks(study)
    for leak in found:
        if leak.share >= SMALL:
            st.warning(f"**Leak**: {_told(study, leak)}.", icon=":material/content_copy:")
    return found


def leaks(study: Study) -> tuple[Leak, ...]:
    """Equal images on both sides, or fitted and tested on."""
    whole = whole_sets(study, root=data_root())  # kept in memory, with their fingerprints; the draw follows the seed
    marks = [images.fingerprint() for images in whole.values()]
    slot = hashlib.sha256(repr((study.to_json(), marks)).encode()).hexdigest()

    def find() -> tuple[Leak, ...]:
        sets = {ref: open_data(study, ref, root=data_root()) for ref in whole}
        return find_leaks(study, sets, whole=whole)

    return _leaks(slot, find)


@st.cache_data(max_entries=256, show_spinner=False)
def _leaks(slot: str, _find: Callable[[], tuple[Leak, ...]]) -> tuple[Leak, ...]:
    return _find()


def _told(study: Study, leak: Leak) -> str:
    """A leak in words, files by their titles."""
    words = leak.words
    for ref in (study.ind, *study.ood):
        words = words.replace(ref, title_of(ref)) if "/" in ref else words
    return inert(words)


def show_small_leaks(study: Study, found: tuple[Leak, ...]) -> None:
    """The leaks too small to change what is shown, said where alpha is fitted."""
    small = [_told(study, leak) for leak in found if leak.share < SMALL]
    if small:
        st.caption(f":material/content_copy: {'. '.join(small)}.")
