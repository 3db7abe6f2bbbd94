"""One image under every corruption as HTML: small pictures from one sprite, each with its score and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

from app import theme
from app.pictures import data_uri
from fssd_core.corruption_table import Floats

MOST = 64  # pixels a side of one picture in the sprite
STYLE = """<style>
.fssd-strip{{display:grid;gap:10px 18px;grid-template-columns:repeat(auto-fill,minmax(min(100%,290px),1fr))}}
.fssd-strip section{{min-width:0}}
.fssd-strip h4{{margin:0 0 3px;padding:0;font-size:.85rem;font-weight:600}}
.fssd-strip h4 small{{font-weight:400;opacity:.7}}
.fssd-strip ol{{display:grid;grid-template-columns:repeat({columns},1fr);gap:4px;margin:0;padding:0;list-style:none}}
.fssd-strip li{{margin:0;padding:0;text-align:center;font-size:.72rem;line-height:1.25}}
.fssd-strip i{{display:block;aspect-ratio:{ratio};image-rendering:pixelated;border-radius:3px 3px 0 0;
  background-image:url({sprite});background-size:{across}% {down}%}}
.fssd-strip b{{display:block;height:5px;border-radius:0 0 3px 3px;margin-bottom:2px}}
.fssd-strip li.rejected b{{background:{reject}}} .fssd-strip li.accepted b{{background:{accept}}}
</style>"""


def strip_style(clean: npt.NDArray[np.uint8], strip: npt.NDArray[np.uint8], *, mode: theme.Mode) -> str:
    """The style sheet that holds all pictures as one PNG; it is sent once, alpha does not change it.

    Args:
        clean: (H, W) or (H, W, 3) the image itself.
        strip: (T, S, H, W) or (T, S, H, W, 3) the image in every cell.
        mode: 'light' or 'dark'.
    """
    types, severities, height, width = strip.shape[:4]
    scale = min(1.0, MOST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    row = np.concatenate([_small(image, size) for image in [clean] * severities], axis=1)
    rows = [row, *(np.concatenate([_small(image, size) for image in line], axis=1) for line in strip)]
    return STYLE.format(
        columns=severities,
        ratio=f"{width}/{height}",
        sprite=data_uri(np.concatenate(rows)),
        across=100 * severities,
        down=100 * (types + 1),
        reject=theme.REJECT[mode],
        accept=theme.ACCEPT[mode],
    )


def strip_html(
    types: Sequence[tuple[str, str]],
    severities: Sequence[int],
    scores: Floats,
    predicted: npt.NDArray[np.str_],
    *,
    threshold: float,
    clean: tuple[float, str],
) -> str:
    """The pictures with their scores; a bar and a sign say the verdict, the class is what the network takes it for.

    Args:
        types: T (title, group).
        severities: S levels.
        scores: (T, S) of the image.
        predicted: (T, S) class names.
        threshold: accepted where score >= threshold.
        clean: (score, class name) of the image itself.
    """
    digits = _digits([clean[0], threshold, *scores.reshape(-1)])
    total = len(types)
    first = _cell(0, 0, total, len(severities), clean[0], clean[1], threshold, digits, "the image itself", "clean")
    parts = [f"<section><h4>Clean</h4><ol>{first}</ol></section>"]
    for i, (title, group) in enumerate(types):
        cells = "".join(
            _cell(
                i + 1, j, total, len(severities), float(scores[i, j]), str(predicted[i, j]), threshold, digits, title,
                str(level),
            )
            for j, level in enumerate(severities)
        )  # fmt: skip
        beside = "" if title.lower().endswith(group.lower()) else f" <small>{escape(group)}</small>"
        parts.append(f"<section><h4>{escape(title)}{beside}</h4><ol>{cells}</ol></section>")
    return f'<div class="fssd-strip">{"".join(parts)}</div>'


def _cell(
    row: int, column: int, rows: int, columns: int, score: float, name: str, threshold: float, digits: int, title: str,
    level: str,
) -> str:  # fmt: skip
    accepted = score >= threshold
    word, sign = ("accepted", "✓") if accepted else ("rejected", "✗")
    x = 100 * column / (columns - 1) if columns > 1 else 0
    y = 100 * row / rows if rows else 0
    said = f"{title}, severity {level}: score {score:.{digits}f}, {word}; the network says {name}"
    return (
        f'<li class="{word}" title="{escape(said)}"><i role="img" aria-label="{escape(said)}" '
        f'style="background-position:{x:.4g}% {y:.4g}%"></i><b></b>{sign} {score:.{digits}f}<br>'
        f'<span style="opacity:.75">{escape(name)}</span></li>'
    )


def _small(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _digits(values: Sequence[float]) -> int:
    """Decimals so that about three digits tell the scores apart."""
    finite = [abs(v) for v in values if np.isfinite(v)]
    top = max(finite, default=1.0) or 1.0
    return int(np.clip(2 - np.floor(np.log10(top)), 0, 6))
