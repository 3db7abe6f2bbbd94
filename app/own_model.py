"""State of the page 'Your model': a checkpoint that was uploaded, what was recognised, and what it becomes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from app import session
from app.names import inert, under_own_name
from app.sidebar import SAMPLES
from fssd_core.errors import FssdError
from fssd_core.models import LoadedModel, find_arch, load_model
from fssd_core.models.nets import Shape
from fssd_core.models.normalisation import Pair, Trial, preset_name, presets, try_normalisations
from fssd_core.models.prepare import prepared_ending, save_prepared, with_facts
from fssd_core.models.program_flag import KINDS as PROGRAM_KINDS
from fssd_core.models.recognise import MisfitError
from fssd_core.models.tree import Node, module_tree
from fssd_core.study import Study, open_data

BUDGET = 2e10  # multiply-accumulates that a look at normalisations may take unasked: a few seconds on two cores

PATIENCE = 5e11  # multiply-accumulates a set before the first picture


@dataclass(frozen=True, eq=False)
class Opened:
    """A checkpoint as the page shows it.

    Attributes:
        model: the network with the facts of its file.
        nodes: its module tree.
        fixed: whether its weights fix the size of its images.
    """

    model: LoadedModel
    nodes: tuple[Node, ...]
    fixed: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return max(1, sum(node.macs for node in self.nodes if node.depth == 0))

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(p.numel() for p in self.model.module.parameters())


def samples_for(macs: int) -> int:
    """Images a set with which the first picture takes a minute or two on two cores, of so many MACs an image."""
    return max((n for n in SAMPLES if n * macs <= PATIENCE), default=SAMPLES[0])


def open_checkpoint(ref: str, arch: str | None) -> Opened:
    """The checkpoint, read once for all runs of the page.

    Raises:
        FssdError: it cannot be used as it is; a `MisfitError` lists what does not fit.
    """
    return session.remembered(f"own:{ref}:{arch}", lambda: _open(ref, arch))


def _open(ref: str, arch: str | None) -> Opened:
    model = load_model(ref, arch=arch)
    if model.arch in PROGRAM_KINDS:
        sizes = getattr(model.module, "sizes", ((1, None),))
        fixed = all(low == high for low, high in sizes[1:]) and len(sizes) > 1
    else:
        fixed = find_arch(model.arch).side is not None
    return Opened(model, tuple(module_tree(model.module, model.input_shape)), fixed)


def trials(opened: Opened, pair: Pair, shape: Shape, ind: str, *, others: bool = False) -> list[Trial]:
    """What the network does with this normalisation on the ind images, and with the usual others if asked or quick.

    Raises:
        FssdError: the images cannot be read or do not fit.
    """
    known = [preset.pair for preset in presets(shape[0]).values() if preset.pair != pair]
    if not others and opened.macs * 400 * (len(known) + 1) > BUDGET:
        known = []
    samples = max(20, min(300, int(BUDGET / opened.macs) - 100))
    slot = f"trial:{opened.model.weight_hash}:{opened.model.arch}:{pair}:{shape}:{ind}:{len(known)}"

    def make() -> list[Trial]:
        fresh = with_facts(load_model(opened.model.ref, arch=opened.model.arch), input_shape=shape, normalisation=pair)
        study = Study(ind=ind, ood=())
        images = open_data(study, ind, root=session.data_root(), count=max(samples, 1))
        return try_normalisations(fresh, images, [pair, *known], count=samples)

    return session.remembered(slot, make)


def keep(opened: Opened, *, shape: Shape, pair: Pair, taps: tuple[str, ...]) -> str:
    """Keeps the checkpoint with these facts as an upload of this session, and gives its reference.

    Raises:
        FssdError: they do not fit the network.
    """
    fresh = load_model(
        opened.model.ref, arch=opened.model.arch
    )  # a module of its own: other threads may look at this one
    model = with_facts(fresh, input_shape=shape, normalisation=pair, taps=taps)
    name = Path(opened.model.ref).stem
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"w{prepared_ending(model)}"
        save_prepared(model, path, title=name)
        return session.keep_upload(f"{name}{path.suffix}", path.read_bytes(), "model")


def normalisation_words(pair: Pair, channels: int) -> str:
    """A preset's title, or the numbers."""
    name = preset_name(pair, channels)
    if name is not None:
        return presets(channels)[name].title
    mean, std = pair or ((), ())
    return f"mean {', '.join(f'{v:g}' for v in mean)}; std {', '.join(f'{v:g}' for v in std)}"


@contextmanager
def told(name: str) -> Iterator[None]:
    """Shows a user's error under the file's own name, with the lines that mend it as code; the page goes on."""
    try:
        yield
    except (FssdError, OSError) as error:
        first, *lines = under_own_name(error, name).split("\n")
        st.error(inert(first), icon=":material/error:")
        if lines:
            st.code("\n".join(line.strip() for line in lines), language="python")
        if "--arch" in first:
            st.caption("Here: choose it under *Architecture* above; `--arch` and `--factory` are for the command line.")
        if isinstance(error, MisfitError):
            _misfit(error)


def _misfit(error: MisfitError) -> None:
    """Every name that does not fit, in three lists."""
    misfit = error.misfit
    with st.expander(f"All {misfit.count} names that do not fit", icon=":material/compare_arrows:"):
        for title, rows in (
            ("Missing in the file", [{"weight": n} for n in misfit.missing]),
            ("Unexpected in the file", [{"weight": n} for n in misfit.unexpected]),
            ("Of another shape", [{"weight": n, "in the file": str(a), "wanted": str(b)} for n, a, b in misfit.other]),
        ):
            if rows:
                st.markdown(f"**{title}** ({len(rows)})")
                st.dataframe(rows, hide_index=True, height=min(300, 38 + 35 * len(rows)))
