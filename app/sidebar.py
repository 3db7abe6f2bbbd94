"""The sidebar: which network, which data, how many; it sets the study of all pages. Its state is in the URL."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import lesson, presenter, session
from app.names import described, inert, title_of, under_own_name
from fssd_core.data import list_data, load_data
from fssd_core.data.files import IMAGE_ENDINGS, UPLOAD_ENDINGS
from fssd_core.data.limits import MAX_UNPACKED, MAX_UPLOADS, shown
from fssd_core.errors import FssdError
from fssd_core.models import ModelEntry, list_archs, list_models, load_model
from fssd_core.models.program_flag import program_kind, programs_allowed
from fssd_core.models.recognise import fitting_archs
from fssd_core.models.weights import read_weights
from fssd_core.study import DEMO_OOD, Study, study_layers

RECOGNISE = "recognise it"
SAMPLES = (200, 500, 1000, 2000, 5000, 10000)


def show() -> None:
    """Draws the sidebar and sets the current study; a choice that cannot be used is told on the page itself."""
    problem: FssdError | None = None
    with st.sidebar:
        model, arch = _model()
        step = _step(model)
        ind, ood = _data()
        samples = st.select_slider(
            "Samples a set",
            SAMPLES,
            value=2000,
            key="n",
            bind="query-params",
            help="Images drawn from each set for the scores, by seed. Sets that have fewer give all they have.",
        )
        try:
            study = Study(model=model, arch=arch, step=step, ind=ind, ood=tuple(ood), samples=samples)
            _layer(study)
            session.set_study(study)
        except FssdError as error:
            problem = error
        _own_files()
        lesson.resume()
        presenter.toggle()
        st.caption(f":material/memory: {session.device_line()}")
    if problem is not None:
        with session.guard():
            raise problem


def _layer(study: Study) -> None:
    layers = study_layers(study)
    st.selectbox(
        "Layer",
        layers,
        index=len(layers) - 1,
        key="layer",
        bind="query-params",
        help="Whose features the pictures show. Early layers carry low-level statistics, deep ones meaning.",
    )


def _model() -> tuple[str, str | None]:
    registered = [m.name for m in list_models()]
    own = session.own_files("model")
    model = st.selectbox(
        "Model",
        [*registered, *own],
        key="model",
        bind="query-params",
        format_func=title_of,
        help="A registered network, or weights of your own: upload them below or start with --data-root.",
    )
    arch = None
    if model in own:
        arch = st.selectbox(
            "Architecture",
            [RECOGNISE, *list_archs()],
            key="arch",
            bind="query-params",
            help="Recognised from the file where it says it or its weights fit one network alone; else choose it.",
        )
    return str(model), None if arch in (None, RECOGNISE) else arch


def _entry(name: str) -> ModelEntry | None:
    return next((m for m in list_models() if m.name == name), None)


def _step(model: str) -> int | None:
    entry = _entry(model)
    if entry is None or len(entry.steps) < 2:
        return None
    step = int(
        st.selectbox(
            "Checkpoint (training step)",
            entry.steps,
            index=len(entry.steps) - 1,
            key="step",
            bind="query-params",
            help="Training steps at which the weights were kept; step 0 is the untrained network, the baseline.",
        )
    )
    if step in entry.accuracy:
        st.caption(f"Epoch {entry.epochs.get(step, 0):.2g}, test accuracy {entry.accuracy[step]:.1%}")
    return step


def _data() -> tuple[str, list[str]]:
    registered = [d.name for d in list_data() if d.kind in ("bundled", "derived")]
    names = [*registered, *session.own_files("data")]
    ind = st.selectbox(
        "In-distribution (ind)",
        names,
        index=names.index("fmnist:test"),
        key="ind",
        bind="query-params",
        format_func=title_of,
        help="Images like those the network was trained on.",
    )
    ood = st.multiselect(
        "Out-of-distribution (ood)",
        [n for n in names if n != ind],
        default=[n for n in DEMO_OOD if n != ind],
        key="ood",
        bind="query-params",
        format_func=title_of,
        help="One set or several; each keeps its colour on every page.\n\n"
        + "\n".join(f"- {described(name)}" for name in names),
        max_selections=6,
    )
    return str(ind), list(ood)


def _own_files() -> None:
    with st.expander("Your own files", icon=":material/upload_file:"):
        data = st.file_uploader(
            "Images: .npz, .npy, .zip, .parquet, FASTA, or several pictures",
            type=sorted({e.rpartition(".")[2] for e in (*UPLOAD_ENDINGS, *IMAGE_ENDINGS)}),
            accept_multiple_files=True,
            help="The .npz holds `images` (N, H, W) or (N, H, W, 3) uint8 and, if you have them, `labels` (N,). A .zip "
            "holds pictures, best with one folder a class; they are cropped at the centre and resized to the network's "
            "input. Files that cannot be read are counted and named, the others are used.",
        )
        if data:
            _keep_data(data)
        weights = st.file_uploader(
            "Weights: .safetensors, .pt or .pth" + (" or a .pt2 program" if programs_allowed() else ""),
            type=[e[1:] for e in session.WEIGHT_ENDINGS],
            help="A state dict. Nothing in the file is executed (safetensors, or torch.load with weights_only)."
            + (" Programs (.pt2, TorchScript) are run: the operator allows it." if programs_allowed() else ""),
        )
        if weights is not None:
            with _message(weights.name):
                session.keep_upload(weights.name, weights.getvalue(), "model", check=_check_weights)
                _once(f"model:{weights.file_id}", f"{inert(shown(weights.name))} is now offered under Model.")
        _download()


def _download() -> None:
    """Fetches a public set with torchvision; offline it fails with the reason and where to put the files by hand."""
    entries = {d.name: d for d in list_data() if d.kind == "download"}
    ref = st.selectbox(
        "Public data set",
        list(entries),
        index=None,
        placeholder="choose one to download",
        format_func=described,
        help="Fetched by torchvision from its own site, once; needs a network.",
    )
    if ref is None:
        return
    entry = entries[ref]
    st.caption(f"{entry.count:,} images. Source: {entry.source}. Licence: {entry.licence}.")
    if st.button("Download", icon=":material/download:") or st.session_state.get("_fetching") == ref:
        st.session_state["_fetching"] = ref
        job = session.run_job(f"Download of {ref}", "download", Study(), {"data": ref})
        if job.state == "done":
            del st.session_state["_fetching"]
            own: list[str] = st.session_state.setdefault("_own_data", [])
            own.append(ref)
            st.rerun()


def _keep_data(files: list) -> None:
    size = sum(f.size for f in files)
    if len(files) > MAX_UPLOADS or size > MAX_UNPACKED:
        st.error(
            f"{len(files):,} files of {size / 2**20:,.0f} MiB were given; at most {MAX_UPLOADS:,} files of "
            f"{MAX_UNPACKED // 2**20:,} MiB together are taken. Give fewer, or start with --data-root",
            icon=":material/error:",
        )
        return
    packed = [f for f in files if f.name.lower().endswith(UPLOAD_ENDINGS)]
    pictures = [f for f in files if f not in packed]
    with _message(", ".join(f.name for f in packed[:1]) or "the images"):
        for file in packed:
            session.keep_upload(file.name, file.getvalue(), "data", check=load_data)
        if pictures:
            folder = "images-" + "-".join(sorted(f.file_id[:6] for f in pictures)[:2]) + f"-{len(pictures)}"
            for file in pictures[:-1]:
                session.keep_upload(file.name, file.getvalue(), "data", folder=folder, offer=False)
            last = pictures[-1]
            session.keep_upload(last.name, last.getvalue(), "data", folder=folder, check=load_data)
        _once("data:" + ",".join(f.file_id for f in files), "Now offered under ind and ood.")


def _check_weights(path: str) -> None:
    """Raises what is wrong with a weight file; one that only lacks its architecture is fine, the page asks for it."""
    if program_kind(Path(path)) is not None and programs_allowed():
        load_model(path)
        return
    weights = read_weights(Path(path))
    if "arch" in weights.metadata or len(fitting_archs(weights)) == 1:
        load_model(path)


class _message:
    """Shows a user's error beside the uploader, under the file's own name, and goes on with the sidebar."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, FssdError | OSError):
            st.error(inert(under_own_name(error, self.name)), icon=":material/error:")
            return True
        return False


def _once(upload: str, words: str) -> None:
    """Reruns once after a new upload, so that the lists above offer it."""
    if st.session_state.get("_last_upload") != upload:
        st.session_state["_last_upload"] = upload
        st.rerun()
    st.success(words)
