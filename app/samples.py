"""The one image to look at: a row of a set, an uploaded picture, or a drawing; always in the network's own size."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import streamlit as st

from app.components.pad import Grey, pad
from app.names import class_names, name_of, title_of
from fssd_core.data import ImageSet, load_data
from fssd_core.data.folder import load_folder
from fssd_core.data.pictures import FORMATS
from fssd_core.errors import DataError, InputError
from fssd_core.study import Study, open_model

Pixels = npt.NDArray[np.uint8]
FROM_SET, UPLOADED, DRAWN = "From a set", "Upload", "Draw"
SOURCES = (FROM_SET, UPLOADED, DRAWN)


@dataclass(frozen=True, eq=False)
class Sample:
    """One image fitted to the network.

    Attributes:
        pixels: (H, W) or (H, W, 3) uint8.
        title: where it comes from, for people.
        ref: the set it is a row of, if any.
        row: its row in that set.
        truth: its class in that set, in words.
        notes: what was done to it.
    """

    pixels: Pixels
    title: str
    ref: str | None = None
    row: int | None = None
    truth: str = ""
    notes: tuple[str, ...] = ()


def open_sample(ref: str, row: int) -> NoReturn:
    """Leads to the Inspect page with that row of that set: what other pages call on a click."""
    st.session_state["source"] = FROM_SET
    st.switch_page(str(Path(__file__).with_name("views") / "inspect.py"), query_params=address_of(ref, row))


def address_of(ref: str, row: int) -> dict[str, str]:
    """Query parameters of the Inspect page for that image."""
    return {"set": title_of(ref), "row": str(row)}


def from_set(study: Study, ref: str, row: int, *, root: Path | None) -> Sample:
    """The image of that row, whether or not the study's draw holds it.

    Raises:
        InputError: no such row.
    """
    shape = open_model(study).input_shape
    images = load_data(ref, shape=shape, root=root)
    at = np.flatnonzero(images.rows == row)
    if len(at) == 0:
        raise InputError(
            f"{title_of(ref)} has no row {row}; its {len(images):,} images have rows {images.rows.min()} to "
            f"{images.rows.max()}"
        )
    fitted = images.take(at[:1]).fitted(shape)
    return Sample(fitted.images[0], f"{title_of(ref)}, row {row}", ref, row, _truth(images, int(at[0])), fitted.notes)


def _truth(images: ImageSet, at: int) -> str:
    if images.labels is None:
        return ""
    return name_of(class_names(images), int(images.labels[at]))


def from_file(name: str, content: bytes, shape: tuple[int, int, int], *, inverted: bool = False) -> Sample:
    """An uploaded picture, converted exactly as a folder of pictures is, with notes of what was done.

    Args:
        name: of the file.
        content: its bytes.
        shape: (C, H, W) that the network takes.
        inverted: whether black and white are exchanged.

    Raises:
        DataError: no picture, or a damaged one.
    """
    ending = re.sub(r"[^A-Za-z0-9.]", "", Path(name).suffix)[:8]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"picture{ending}").write_bytes(content)
        try:
            images = load_folder(Path(folder), shape=shape)
        except DataError as error:
            why = re.search(r"\((.*)\); ", str(error))
            reason = why[1] if why else "not a whole picture"
            allowed = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise DataError(f"{name} cannot be read: {reason}. Give one whole picture, {allowed}.") from error
    notes = [re.sub(r"^1 (?:of 1 )?(grey |colour )?pictures were", r"The \1picture was", note) for note in images.notes]
    notes += ["Black and white are exchanged"] * inverted
    pixels = 255 - images.images[0] if inverted else images.images[0]
    return Sample(pixels, name, notes=tuple(notes))


def from_drawing(picture: Grey, shape: tuple[int, int, int]) -> Sample:
    """A drawing; a colour network sees it in grey."""
    if shape[0] == 1:
        return Sample(picture, "your drawing")
    return Sample(np.repeat(picture[..., None], 3, axis=2), "your drawing", notes=("Grey over 3 colour channels",))


def upload_widget(study: Study) -> Sample | None:
    """Asks for a picture file."""
    file = st.file_uploader(
        "Picture",
        type=[kind.lower() for kind in (*FORMATS, "jpg", "tif")],
        key="inspect-upload",
        help="Cropped at its centre and resized to the network's input.",
    )
    inverted = st.toggle(
        "Exchange black and white",
        key="inspect-inverted",
        help="FashionMNIST and MNIST are white on black; most photographs of things are the other way round.",
    )
    if file is None:
        return None
    return from_file(file.name, file.getvalue(), open_model(study).input_shape, inverted=inverted)


def pad_widget(study: Study) -> Sample | None:
    """Asks for a drawing; it survives a visit to other pages."""
    shape = open_model(study).input_shape
    kept: Grey | None = st.session_state.get("_drawing")
    fits = kept is not None and kept.shape == shape[1:]
    drawn = pad(width=shape[2], height=shape[1], start=kept if fits else None, key="inspect-pad")
    st.session_state["_drawing"] = drawn
    return None if drawn is None else from_drawing(drawn, shape)
