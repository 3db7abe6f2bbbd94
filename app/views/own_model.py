"""Your model: a checkpoint and pictures go in, what was recognised is shown, and every page opens with them."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from app import own_model, session
from app.names import inert, title_of, under_own_name
from app.own_layers import layer_picker
from app.own_model import Opened, normalisation_words, samples_for, told
from fssd_core.data import load_data
from fssd_core.data.files import UPLOAD_ENDINGS
from fssd_core.errors import FssdError
from fssd_core.models import list_archs
from fssd_core.models.nets import Shape
from fssd_core.models.normalisation import Pair, presets, verdict
from fssd_core.models.program_flag import programs_allowed

RECOGNISE, OWN_NUMBERS = "recognise it", "numbers of your own"
ENDINGS = [e[1:] for e in (*session.WEIGHT_ENDINGS, ".ckpt", ".bin")]


def show() -> None:
    """Draws the page."""
    st.title("Your own model")
    safe = "exported programs alone are run, which the operator allows" if programs_allowed() else "nothing is executed"
    st.caption(
        "A checkpoint (state dict) and some of your images are enough. Of what is in a file, "
        f"{safe}: weights are read as numbers, and files that hold Python objects are refused with the two lines that "
        "convert them."
    )
    left, right = st.columns(2, gap="large")
    with left:
        ref, arch = _checkpoint()
    with right:
        data, role = _pictures()
    if ref is None:
        _recognised_kinds()
        return
    opened: Opened | None = None
    with told(title_of(ref)):
        opened = own_model.open_checkpoint(ref, arch)
    if opened is None:
        return
    head = st.container()
    shape, pair = _facts(opened)
    ind = data if data is not None and role == "ind" else session.current_study().ind
    look = st.container()
    st.subheader("Layers to read")
    taps = layer_picker(opened.nodes, opened.model.taps, key=f"{ref}:{arch}")
    with head:
        _go(opened, shape, pair, taps, data, role)
    with look:
        if (data is not None and role == "ind") or session.current_study().model == ref:
            _check(opened, shape, pair, ind)
        else:
            st.caption(":material/help: With in-distribution images of yours, the normalisation is looked at here.")


def _checkpoint() -> tuple[str | None, str | None]:
    """(reference, architecture or None) of the checkpoint that was uploaded, else of the sidebar's, if it is a file."""
    file = st.file_uploader(
        "Checkpoint: .safetensors, .pt, .pth or .ckpt" + (", or a .pt2 program" * programs_allowed()),
        type=ENDINGS,
        key="own-checkpoint",
        help="A state dict, bare or inside a training checkpoint (state_dict, model, net, Lightning, EMA).",
    )
    ref: str | None = None
    if file is not None:
        ref = session.keep_upload(file.name, file.getvalue(), "model", offer=False)
    elif (current := session.current_study().model) in session.own_files("model"):
        ref = current
    if ref is None:
        return None, None
    arch = st.selectbox(
        "Architecture", [RECOGNISE, *list_archs()], key=f"own-arch:{ref}",
        help="Recognised by the names and shapes of the weights. Choose it where they fit several, or none.",
    )  # fmt: skip
    return ref, None if arch == RECOGNISE else arch


def _pictures() -> tuple[str | None, str]:
    """(reference of the pictures that were uploaded, 'ind' or 'ood')."""
    file = st.file_uploader(
        "Images: .zip, .npz, .npy or .parquet",
        type=sorted({e.rpartition(".")[2] for e in UPLOAD_ENDINGS}),
        key="own-images",
        help="A .zip of pictures, best with one folder a class; or arrays. Without, the sets of the sidebar stay.",
    )
    data: str | None = None
    if file is not None:
        with told(file.name):
            data = session.keep_upload(file.name, file.getvalue(), "data", check=load_data)
    role = st.segmented_control(
        "They are", ["ind", "ood"], default="ind", required=True, key="own-role",
        format_func={"ind": "in-distribution", "ood": "out-of-distribution"}.__getitem__,
    )  # fmt: skip
    return data, str(role)


def _recognised_kinds() -> None:
    st.info(
        "Recognised by their weights alone: all 80 classification networks of torchvision, ResNet-20 to 110 and wide "
        "ResNets for 32x32 images (He, chenyaofo, kuangliu, OpenOOD, Hendrycks), and this project's own. timm's are "
        "chosen by name. For code of your own, the operator starts the dashboard with "
        "`--factory package.module:function`.",
        icon=":material/info:",
    )


def _facts(opened: Opened) -> tuple[Shape, Pair]:
    """Shows what was recognised; (input shape, normalisation) as chosen."""
    model = opened.model
    key = f"{model.weight_hash[:12]}:{model.arch}"
    known, side_column, normalisation_column = st.columns([4.3, 1.2, 1.9], gap="small")
    with known, st.container(horizontal=True, gap="large"):
        for label, value in (
            ("Architecture", model.arch.removeprefix("torchvision/")),
            ("Classes", f"{model.classes:,}"),
            ("Parameters", _short(opened.parameters)),
            ("MACs an image", _short(opened.macs) if opened.macs > 1 else "not counted"),
        ):
            st.markdown(f":small[:gray[{label}]]  \n**{inert(value)}**", width="content")
    channels, height, width = model.input_shape
    side = int(side_column.number_input(
        "Image side", 8, 1024, height, key=f"side:{key}", disabled=opened.fixed,
        help="Pixels. " + ("The weights fix it." if opened.fixed else "The weights fit every size."),
    ))  # fmt: skip
    shape = (channels, side, width if side == height else side)
    with normalisation_column:
        pair = _normalisation(opened, channels, key)
    for note in model.notes:
        st.caption(f":material/info: {inert(note[:1].upper() + note[1:])}.")
    return shape, pair


def _normalisation(opened: Opened, channels: int, key: str) -> Pair:
    model = opened.model
    first: Pair = None if model.mean is None or model.std is None else (model.mean, model.std)
    pairs = {preset.title: preset.pair for preset in presets(channels).values()}
    mine = normalisation_words(first, channels)
    pairs = {mine: first, **{title: pair for title, pair in pairs.items() if pair != first}}
    chosen = str(st.selectbox("Normalisation", [*pairs, OWN_NUMBERS], key=f"normalisation:{key}",
                              help="What training subtracted from the pixels and divided them by."))  # fmt: skip
    if chosen != OWN_NUMBERS:
        return pairs[chosen]
    text = st.text_input(
        "Means, then standard deviations", key=f"numbers:{key}", placeholder="0.49 0.48 0.45 0.25 0.24 0.26"
    )
    try:
        numbers = [float(word) for word in text.replace(",", " ").replace(";", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 2 * channels or min(numbers[channels:]) <= 0:
        if text:
            st.error(f"Give {2 * channels} numbers: {channels} means, then {channels} standard deviations above 0.")
        return first
    return tuple(numbers[:channels]), tuple(numbers[channels:])


def _check(opened: Opened, shape: Shape, pair: Pair, ind: str) -> None:
    """Says whether the normalisation looks right on the ind images."""
    try:
        slot = f"_others:{opened.model.weight_hash}:{pair}:{ind}"
        with st.spinner("Looking at the normalisation ..."):
            found = own_model.trials(opened, pair, shape, ind, others=bool(st.session_state.get(slot)))
    except FssdError as error:
        st.caption(
            f":material/help: The normalisation could not be looked at: {inert(under_own_name(error, title_of(ind)))}"
        )
        return
    names = {trial.pair: normalisation_words(trial.pair, shape[0]) for trial in found}
    right, words = verdict(found, names)
    words = f"On {title_of(ind)}: {words[:1].lower()}{words[1:]}"
    if right:
        st.caption(f":material/check: {inert(words)}")
    else:
        st.warning(inert(words), icon=":material/warning:")
    if len(found) == 1 and st.button("Try the usual other normalisations", key=f"try:{slot}"):
        st.session_state[slot] = True
        st.rerun()


def _go(opened: Opened, shape: Shape, pair: Pair, taps: tuple[str, ...], data: str | None, role: str) -> None:
    if not taps:
        st.warning("Tick at least one layer below.", icon=":material/warning:")
        return
    layers = "1 layer" if len(taps) == 1 else f"{len(taps)} layers"
    st.button(
        f"Open in Features with {layers}", type="primary", icon=":material/scatter_plot:", key="own-go",
        on_click=_take, args=(opened, shape, pair, taps, data, role),
    )  # fmt: skip
    if st.session_state.pop("_own_taken", False):
        st.switch_page(str(Path(__file__).with_name("features.py")), query_params={})
    if error := st.session_state.pop("_own_error", None):
        st.error(inert(error), icon=":material/error:")


def _take(opened: Opened, shape: Shape, pair: Pair, taps: tuple[str, ...], data: str | None, role: str) -> None:
    """Makes the checkpoint, and the pictures if there are some, what the sidebar has chosen."""
    try:
        ref = own_model.keep(opened, shape=shape, pair=pair, taps=taps)
    except FssdError as error:
        st.session_state["_own_error"] = str(error)
        return
    st.session_state["model"] = ref
    st.session_state["layer"] = taps[-1]
    st.session_state.pop("arch", None)
    if (few := samples_for(opened.macs)) < st.session_state.get("n", few):
        st.session_state["n"] = few
        st.toast(f"{few} samples a set to begin with, because this network is slow; the sidebar offers more.")
    if data is not None:
        ood = [name for name in st.session_state.get("ood", []) if name != data]
        st.session_state["ood"] = ood if role == "ind" else [data, *ood][:6]
        if role == "ind":
            st.session_state["ind"] = data
    st.session_state["_own_taken"] = True


def _short(count: float) -> str:
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= limit:
            return f"{count / limit:.3g}{unit}"
    return f"{count:,.0f}"


show()
