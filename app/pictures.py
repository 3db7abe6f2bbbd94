"""Small images as HTML: enlarged with visible pixels, each with its words below and read out."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

STYLE = """<style>
.fssd-pictures{display:grid;gap:14px;grid-template-columns:repeat(auto-fill,minmax(min(100%,var(--wide)),1fr))}
.fssd-pictures figure{margin:0;min-width:0}
.fssd-pictures .pair{display:grid;grid-template-columns:1fr 1fr;gap:6px}
.fssd-pictures img{display:block;width:100%;image-rendering:pixelated;border-radius:4px;
  box-shadow:0 0 0 1px color-mix(in srgb,currentColor 25%,transparent)}
.fssd-pictures figcaption{padding-top:6px;font-size:.875rem;line-height:1.35;overflow-wrap:anywhere}
.fssd-pictures figcaption span{display:block;opacity:.75}
</style>"""


@dataclass(frozen=True, eq=False)
class Picture:
    """One figure of a gallery.

    Attributes:
        images: one image, or two side by side: (H, W) or (H, W, 3) uint8.
        alt: what each image shows, for those who do not see it.
        title: first line below.
        words: second line below, paler.
    """

    images: tuple[npt.NDArray[np.uint8], ...]
    alt: tuple[str, ...]
    title: str = ""
    words: str = ""


def gallery(pictures: Sequence[Picture], *, wide: int) -> str:
    """HTML of the pictures in as many columns of at least `wide` pixels as there is room for."""
    return f'{STYLE}<div class="fssd-pictures" style="--wide:{wide}px">{"".join(map(_figure, pictures))}</div>'


def _figure(picture: Picture) -> str:
    images = "".join(
        f'<img src="{data_uri(pixels)}" alt="{escape(alt)}">'
        for pixels, alt in zip(picture.images, picture.alt, strict=True)
    )
    if len(picture.images) > 1:
        images = f'<div class="pair">{images}</div>'
    words = f"<span>{escape(picture.words)}</span>" if picture.words else ""
    caption = f"<figcaption>{escape(picture.title)}{words}</figcaption>" if picture.title or words else ""
    return f"<figure>{images}{caption}</figure>"


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """The image as a PNG inside an address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def to_pixels(image: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """(C, H, W) in [0, 1], clipped, as (H, W) or (H, W, 3) uint8."""
    values = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    return values[0] if len(values) == 1 else np.ascontiguousarray(values.transpose(1, 2, 0))


def direction_pixels(direction: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """(C, H, W) steps as pixels: white where brighter, black where darker, middle grey where untouched."""
    top = float(np.abs(direction).max())
    return to_pixels(0.5 + 0.5 * direction / (top or 1.0))
