"""One colour by meaning everywhere: ind, ood, noise, F*, accept, reject; constants for light and dark, no Streamlit.

Every mark has a contrast of at least 3:1 against both backgrounds of its mode; ind, the ood groups and noise stay apart
under simulated protanopia, deuteranopia and tritanopia (tests/app/test_scatter.py computes both).
"""

from __future__ import annotations

from typing import Any, Literal

Mode = Literal["light", "dark"]
MODES: tuple[Mode, ...] = ("light", "dark")

BACKGROUND: dict[Mode, str] = {"light": "#ffffff", "dark": "#171614"}  # Streamlit 1.67's own pages
SURFACE: dict[Mode, str] = {"light": "#f8f8f7", "dark": "#2d2b27"}  # panels, tooltips
TEXT: dict[Mode, str] = {"light": "#2f2d2b", "dark": "#edebe8"}
MUTED: dict[Mode, str] = {"light": "#615f5b", "dark": "#b0ada6"}  # secondary text, at least 4.5:1
GRID: dict[Mode, str] = {"light": "#d6d4d0", "dark": "#45433e"}  # rings, axes: decoration, no mark

IND: dict[Mode, str] = {"light": "#0072b2", "dark": "#56b4e9"}
"""In-distribution; no ood group is ever blue."""

IND_CLASSES: dict[Mode, tuple[str, ...]] = {
    "light": (
        *("#0092ff", "#86000c", "#499249", "#8649db", "#865518", "#31619e"),
        *("#b60c6d", "#b66dc2", "#355846", "#3d18b6", "#b05884", "#6d0c79"),
    ),
    "dark": (
        *("#4f8dff", "#ed616a", "#b9dc3e", "#9eb0ff", "#9e7212", "#467bb0"),
        *("#f69e9e", "#c184ca", "#a7ffc1", "#844fdc", "#c13584", "#ffcaff"),
    ),
}
"""ind classes where they are coloured one by one; the same hue in both modes, told from ood by the round marker."""

OOD: dict[Mode, tuple[str, ...]] = {
    "light": ("#d55e00", "#1a1a1a", "#ad0a7a", "#475c00", "#cc5cf5", "#995c52", "#3d3300"),
    "dark": ("#ff8a3d", "#f5f5f5", "#cf35ba", "#99ffad", "#8a50ee", "#ffadb8", "#e0e00a"),
}
"""ood groups in the order they are chosen; from the eighth on the colours start again with other markers."""

NOISE: dict[Mode, str] = {"light": "#858a93", "dark": "#8e939c"}
FSS: dict[Mode, str] = {"light": "#ffc400", "dark": "#ffd23f"}
FSS_OUTLINE = "#16130a"
"""F* is a gold star with a dark outline in both modes; in the light one the outline carries the contrast."""

ACCEPT: dict[Mode, str] = {"light": "#2b9a5e", "dark": "#129a66"}
REJECT: dict[Mode, str] = {"light": "#8c1238", "dark": "#f52a33"}

IND_MARKER, NOISE_MARKER, FSS_MARKER = "circle", "dot", "star"
OOD_MARKERS = ("plus", "cross", "triangle", "diamond", "square", "triangle-down", "ring", "asterisk", "hexagon", "bar")

PLOTLY_SYMBOLS = {
    "circle": "circle",
    "dot": "circle",
    "star": "star",
    "plus": "cross",
    "cross": "x",
    "triangle": "triangle-up",
    "diamond": "diamond",
    "square": "square",
    "triangle-down": "triangle-down",
    "ring": "circle-open",
    "asterisk": "asterisk-open",
    "hexagon": "hexagon",
    "bar": "line-ew-open",
}
"""The same shapes under Plotly's names, for app/figures."""


def ind_class(index: int, mode: Mode) -> str:
    """Colour of ind class `index`; the sequence of 12 starts again after its end."""
    colours = IND_CLASSES[mode]
    return colours[index % len(colours)]


def ood(index: int, mode: Mode) -> str:
    """Colour of the ood group chosen as number `index` (0 first)."""
    colours = OOD[mode]
    return colours[index % len(colours)]


def ood_marker(index: int) -> str:
    """Marker of the ood group chosen as number `index`; colour and marker together repeat only after 70 groups."""
    return OOD_MARKERS[index % len(OOD_MARKERS)]


def group_colour(kind: str, index: int, mode: Mode) -> str:
    """Colour of a group by its kind ('ind', 'ood', 'noise'); `index` counts the ood groups alone."""
    return {"ind": IND[mode], "noise": NOISE[mode]}.get(kind) or ood(index, mode)


def group_marker(kind: str, index: int) -> str:
    """Marker of a group by its kind; `index` counts the ood groups alone."""
    return {"ind": IND_MARKER, "noise": NOISE_MARKER}.get(kind) or ood_marker(index)


def palette() -> dict[str, Any]:
    """All of it as JSON for the components: {'light': {...}, 'dark': {...}} with equal keys."""
    return {
        mode: {
            "background": BACKGROUND[mode],
            "surface": SURFACE[mode],
            "text": TEXT[mode],
            "muted": MUTED[mode],
            "grid": GRID[mode],
            "ind": IND[mode],
            "classes": list(IND_CLASSES[mode]),
            "ood": list(OOD[mode]),
            "noise": NOISE[mode],
            "fss": FSS[mode],
            "fssOutline": FSS_OUTLINE,
            "accept": ACCEPT[mode],
            "reject": REJECT[mode],
            "markers": list(OOD_MARKERS),
        }
        for mode in MODES
    }


def transparent(colour: str, alpha: float) -> str:
    """'#rrggbb' as Plotly takes it with an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def luminance(colour: str) -> float:
    """Relative luminance of '#rrggbb', 0..1 (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, 1..21 (WCAG 2.2)."""
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)
