"""The scatter's Python side: colours by meaning, payloads byte by byte, the component through AppTest."""

from __future__ import annotations

import itertools
import json
import re
import struct
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app import theme
from app.components.packing import ATLAS_BUDGET, pack, pack_atlas, pack_points, unpack
from app.components.selecting import Selection, encode, from_flags, identity, resolve
from fssd_core.errors import InputError
from fssd_core.types import Faithfulness, PointGroup, Projection

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ROOT / "app" / "components" / "scatter_assets"
SHARED = ROOT / "app" / "components" / "shared_assets"


# ---- theme --------------------------------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
DEFICIENCIES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
LMS = np.array(
    [[0.41222147, 0.53633254, 0.05144599], [0.21190350, 0.68069955, 0.10739696], [0.08830246, 0.28171884, 0.62997870]]
)
LAB = np.array(
    [
        [0.21045426, 0.79361779, -0.00407205],
        [1.97799850, -2.42859221, 0.45059371],
        [0.02590404, 0.78277177, -0.80867577],
    ]
)


def oklab(colour: str, deficiency: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1)
    return LAB @ np.cbrt(LMS @ seen)


def apart(first: str, second: str) -> float:
    """Smallest OKLab distance of two colours over all ways of seeing."""
    return min(float(np.linalg.norm(oklab(first, d) - oklab(second, d))) for d in DEFICIENCIES)


def test_contrast_agrees_with_known_pairs():
    assert theme.contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert theme.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # WCAG's well-known near miss


@pytest.mark.parametrize("mode", theme.MODES)
def test_every_mark_has_contrast_three_to_one(mode):
    marks = [theme.IND[mode], theme.NOISE[mode], theme.ACCEPT[mode], theme.REJECT[mode]]
    marks += [*theme.IND_CLASSES[mode], *theme.OOD[mode]]
    star = max(theme.FSS[mode], theme.FSS_OUTLINE, key=lambda c: theme.contrast(c, theme.BACKGROUND[mode]))
    for colour in [*marks, star]:
        assert theme.contrast(colour, theme.BACKGROUND[mode]) >= 3, colour
    assert theme.contrast(theme.FSS[mode], theme.FSS_OUTLINE) >= 3
    for words in (theme.TEXT[mode], theme.MUTED[mode]):
        assert min(theme.contrast(words, b) for b in (theme.BACKGROUND[mode], theme.SURFACE[mode])) >= 4.5


@pytest.mark.parametrize("mode", theme.MODES)
def test_groups_stay_apart_for_every_kind_of_colour_vision(mode):
    groups = [theme.IND[mode], theme.NOISE[mode], *theme.OOD[mode]]
    assert min(apart(a, b) for a, b in itertools.combinations(groups, 2)) >= 0.08
    assert apart(theme.ACCEPT[mode], theme.REJECT[mode]) >= 0.08


@pytest.mark.parametrize("mode", theme.MODES)
def test_twelve_ind_classes_can_be_told_apart(mode):
    colours = theme.IND_CLASSES[mode]
    assert len(set(colours)) == 12
    assert min(apart(a, b) for a, b in itertools.combinations(colours, 2)) >= 0.06


def test_no_ood_group_shares_colour_or_marker_with_ind_or_noise():
    pairs = set()
    for k in range(70):
        assert theme.ood_marker(k) not in (theme.IND_MARKER, theme.NOISE_MARKER, theme.FSS_MARKER)
        for mode in theme.MODES:
            assert theme.ood(k, mode) not in (theme.IND[mode], theme.NOISE[mode])
        pairs.add((theme.ood(k, "light"), theme.ood_marker(k)))
    assert len(pairs) == 70


def test_palette_is_json_with_equal_keys_in_both_modes():
    palette = json.loads(json.dumps(theme.palette()))
    assert set(palette) == {"light", "dark"}
    assert palette["light"].keys() == palette["dark"].keys()
    assert palette["dark"]["ind"] == theme.IND["dark"]
    assert theme.group_colour("ood", 1, "light") == theme.OOD["light"][1]
    assert set(theme.PLOTLY_SYMBOLS) == {theme.IND_MARKER, theme.NOISE_MARKER, theme.FSS_MARKER, *theme.OOD_MARKERS}


# ---- framing ------------------------------------------------------------------------------------------------------


def test_pack_byte_by_byte():
    payload = pack(
        {"a": "ü"},
        {"x": np.array([1.5, -2.0], np.float32), "k": np.array([7], np.int16), "u": np.array([3, 4, 5], np.uint8)},
    )
    assert payload[:4] == b"FSD1"
    (length,) = struct.unpack_from("<I", payload, 4)
    assert length % 4 == 0
    header = json.loads(payload[8 : 8 + length].decode())
    assert header["a"] == "ü"
    assert header["sections"] == {"x": ["f4", 0, 2], "k": ["i2", 8, 1], "u": ["u1", 12, 3]}
    assert payload[8 + length :] == struct.pack("<ff", 1.5, -2.0) + struct.pack("<hxx", 7) + b"\x03\x04\x05\x00"


def test_pack_turns_big_endian_and_strided_arrays():
    given = np.arange(6, dtype=">i4")[::2]
    _, sections = unpack(pack({}, {"k": given}))
    assert sections["k"].tolist() == [0, 2, 4]
    assert sections["k"].dtype == np.dtype("<i4")


def test_version_follows_content_alone():
    first = unpack(pack({"a": 1, "b": 2}, {"k": np.arange(3, dtype=np.int32)}))[0]["version"]
    assert unpack(pack({"b": 2, "a": 1}, {"k": np.arange(3, dtype=np.int32)}))[0]["version"] == first
    assert unpack(pack({"a": 1, "b": 3}, {"k": np.arange(3, dtype=np.int32)}))[0]["version"] != first
    assert unpack(pack({"a": 1, "b": 2}, {"k": np.arange(1, 4, dtype=np.int32)}))[0]["version"] != first


def test_unpack_refuses_other_bytes():
    with pytest.raises(InputError, match="FSD1"):
        unpack(b"PNG\x00\x00\x00\x00\x00")


# ---- atlas --------------------------------------------------------------------------------------------------------


def group(name: str, kind: str, start: int, count: int) -> PointGroup:
    return PointGroup(name, kind, start, start + count, np.arange(count) * 10)


def test_atlas_keeps_small_grey_images_as_they_are():
    images = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
    atlas = pack_atlas([group("a", "ind", 0, 2)], {"a": images})
    header, sections = unpack(atlas.payload)
    assert (atlas.side, atlas.channels, atlas.cells) == ((3, 5), 1, {"a": 0})
    assert (header["height"], header["width"], header["channels"], header["count"]) == (3, 5, 1, 2)
    assert header["version"] == atlas.version
    assert sections["pixels"].tobytes() == images.tobytes()


def test_atlas_calls_functions_with_rows_and_skips_groups_without_images():
    groups = [group("a", "ind", 0, 2), group("b", "ood", 2, 3), group("noise", "noise", 5, 1)]
    asked = []

    def images(rows):
        asked.append(rows.tolist())
        return np.full((len(rows), 2, 2), 9, np.uint8)

    atlas = pack_atlas(groups, {"a": images, "noise": np.full((1, 2, 2), 7, np.uint8)})
    assert asked == [[0, 10]]
    assert atlas.cells == {"a": 0, "noise": 2}
    assert unpack(atlas.payload)[1]["pixels"].tolist() == [9] * 8 + [7] * 4
    assert pack_atlas(groups, {}) is None


def test_atlas_mixes_grey_and_colour():
    groups = [group("a", "ind", 0, 1), group("b", "ood", 1, 1)]
    colour = np.array([[[[1, 2, 3]]]], np.uint8)
    atlas = pack_atlas(groups, {"a": np.array([[[8]]], np.uint8), "b": colour})
    assert atlas.channels == 3
    assert unpack(atlas.payload)[1]["pixels"].tolist() == [8, 8, 8, 1, 2, 3]


def test_atlas_shrinks_by_exact_means_and_enlarges_by_repeating():
    big = np.kron(np.arange(32 * 32, dtype=np.uint8).reshape(1, 32, 32), np.ones((2, 2), np.uint8))  # 64 x 64
    big[0, 0, :2], big[0, 1, :2] = (0, 4), (8, 12)  # one cell whose mean is 6
    atlas = pack_atlas(
        [group("a", "ind", 0, 1), group("b", "ood", 1, 1)], {"a": big, "b": np.array([[[1, 2], [3, 4]]], np.uint8)}
    )
    assert atlas.side == (32, 32)
    first, second = unpack(atlas.payload)[1]["pixels"].reshape(2, 32, 32)
    expected = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32)
    expected[0, 0] = 6
    assert first.tolist() == expected.tolist()
    assert second.tolist() == np.kron([[1, 2], [3, 4]], np.ones((16, 16), int)).tolist()


def test_atlas_of_uneven_shrinking_keeps_the_mean_brightness():
    images = np.random.default_rng(0).integers(0, 256, (3, 45, 45)).astype(np.uint8)
    atlas = pack_atlas([group("a", "ind", 0, 3)], {"a": images})
    pixels = unpack(atlas.payload)[1]["pixels"].reshape(3, 32, 32)
    assert pixels.mean((1, 2)) == pytest.approx(images.mean((1, 2)), abs=0.5)


def test_atlas_stays_within_its_budget():
    images = np.zeros((10_000, 28, 28), np.uint8)
    atlas = pack_atlas([group("a", "ind", 0, 10_000)], {"a": images})
    assert atlas.side == (20, 20)
    assert len(unpack(atlas.payload)[1]["pixels"]) == 4_000_000 <= ATLAS_BUDGET


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((2, 4, 4), np.float32),
        np.zeros((2, 4), np.uint8),
        np.zeros((2, 4, 4, 2), np.uint8),
    ],
)
def test_images_that_do_not_fit_are_a_clear_error(images):
    with pytest.raises(InputError, match=r"images of 'a' have shape .* its 2 points need uint8"):
        pack_atlas([group("a", "ind", 0, 2)], {"a": images})


# ---- points -------------------------------------------------------------------------------------------------------


def projection(view: str = "centred-spokes", **notes) -> Projection:
    groups = (group("fmnist:test", "ind", 0, 3), group("mnist", "ood", 3, 2), group("noise", "noise", 5, 1))
    xy = np.array([[1, 0], [0, 2], [-3, 0], [0, 0.5], [0.25, 0], [0.1, 0]], np.float32)
    distance = np.array([2, 4, 6, 1, 0.5, 0.2], np.float32)
    labels = np.array([0, 1, 1, -1, -1, -1], np.int16)
    return Projection(view, "fc1", xy, np.zeros(2, np.float32), distance, groups, labels, Faithfulness(1, 1, 1), notes)


OPTIONS = {
    "key": "k",
    "titles": {"mnist": "MNIST digits"},
    "class_names": ["T-shirt", "Trouser"],
    "title": "T",
    "subtitle": "S",
    "radius_mode": "median",
    "colour_by_class": True,
    "height": 600,
    "extent": None,
    "hidden": (),
    "theme": None,
}


def test_points_arrive_as_they_are():
    given = projection(spokes={0: 0.5, 1: 2.0})
    header, sections = unpack(pack_points(given, options=OPTIONS))
    assert sections["xy"].tolist() == given.xy.reshape(-1).tolist()
    assert sections["distance"].tolist() == given.distance.tolist()
    assert sections["row"].tolist() == [0, 10, 20, 0, 10, 0]
    assert sections["label"].tolist() == [0, 1, 1, -1, -1, -1]
    assert header["median"] == 4.0
    assert header["centred"] is True
    assert [g["mean"] for g in header["groups"]] == pytest.approx([4.0, 0.75, 0.2])
    assert [g["label"] for g in header["groups"]] == ["fmnist:test", "MNIST digits", "noise"]
    assert [g["marker"] for g in header["groups"]] == ["circle", "plus", "dot"]
    assert header["groups"][1]["colours"] == {"light": theme.OOD["light"][0], "dark": theme.OOD["dark"][0]}
    assert [g["cell"] for g in header["groups"]] == [-1, -1, -1]
    assert header["spokes"] == [
        {"index": 0, "name": "T-shirt", "angle": 0.5},
        {"index": 1, "name": "Trouser", "angle": 2.0},
    ]


def test_points_name_their_atlas():
    given = projection()
    atlas = pack_atlas(given.groups, {"mnist": np.zeros((2, 4, 4), np.uint8)})
    header, _ = unpack(pack_points(given, options=OPTIONS, atlas=atlas))
    assert header["atlas"] == atlas.version
    assert [g["cell"] for g in header["groups"]] == [-1, 0, -1]


def test_spokes_of_clusters_do_not_pose_as_classes():
    header, _ = unpack(pack_points(projection(spokes={0: 0.0, 1: 3.0}, classes="k-means"), options=OPTIONS))
    assert [s["name"] for s in header["spokes"]] == ["cluster 1", "cluster 2"]


def test_centred_umap_names_only_classes_that_hold_together():
    header, _ = unpack(pack_points(projection("centred-umap"), options=OPTIONS))
    # class 0 is one point at angle 0; class 1 lies at 90 and 180 degrees: mean resultant 0.71, mean direction 135.
    assert [(s["index"], round(s["angle"], 4)) for s in header["spokes"]] == [(0, 0.0), (1, round(0.75 * np.pi, 4))]
    opposed = projection("centred-umap")
    opposed = replace(opposed, xy=np.array([[1, 0], [0, 2], [0, -2], [0, 1], [1, 0], [1, 0]], np.float32))
    assert [s["index"] for s in unpack(pack_points(opposed, options=OPTIONS))[0]["spokes"]] == [0]


def test_axes_carry_units():
    pca, _ = unpack(pack_points(projection("pca", explained=[0.61, 0.1]), options=OPTIONS))
    assert pca["axes"] == [
        "PC 1 from F* (feature units, 61 % of the squared distance)",
        "PC 2 from F* (feature units, 10 % of the squared distance)",
    ]
    assert unpack(pack_points(projection("umap"), options=OPTIONS))[0]["axes"] == [
        "UMAP 1 (no unit)",
        "UMAP 2 (no unit)",
    ]
    assert unpack(pack_points(projection(), options=OPTIONS))[0]["axes"] == []


def test_what_cannot_be_drawn_is_a_clear_error():
    with pytest.raises(InputError, match="no radius mode 'mean'; known: median, absolute, log"):
        pack_points(projection(), options={**OPTIONS, "radius_mode": "mean"})
    broken = projection()
    broken.distance[1] = np.nan
    with pytest.raises(InputError, match="fc1 has positions or distances that are not finite"):
        pack_points(broken, options=OPTIONS)
    given = projection()
    empty = replace(given, groups=(PointGroup("x", "ood", 0, 6, np.arange(6)),))
    with pytest.raises(InputError, match="at least one ind point"):
        pack_points(empty, options=OPTIONS)


# ---- selection ----------------------------------------------------------------------------------------------------


def test_bits_are_the_pages_lowest_first_and_resolve_to_rows_of_each_group():
    given = projection().groups
    said = encode(np.array([1, 0, 1, 0, 1, 1], bool), given)
    assert said == {"of": identity(given), "count": 4, "bits": "NQ=="}  # 0b110101
    chosen = resolve(said, given)
    assert chosen.rows == {"fmnist:test": (0, 20), "mnist": (10,), "noise": (0,)}
    assert len(chosen) == 4
    assert chosen.of(given[0]).tolist() == [True, False, True]


def test_any_selection_comes_back_as_it_was():
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 40, 5)
    stops = np.cumsum(counts)
    groups = [
        PointGroup(f"g{i}", "ood" if i else "ind", int(stop - n), int(stop), rng.permutation(1000)[:n])
        for i, (n, stop) in enumerate(zip(counts, stops, strict=True))
    ]
    flags = rng.random(int(stops[-1])) < 0.3
    chosen = resolve(encode(flags, groups), groups)
    assert np.concatenate([chosen.of(g) for g in groups]).tolist() == flags.tolist()
    assert len(chosen) == flags.sum()


def test_ids_hold_where_points_stand_in_another_order_or_some_are_gone():
    given = projection().groups
    chosen = from_flags({given[0]: np.array([True, False, True]), given[1]: np.array([True, True])})
    turned = PointGroup("fmnist:test", "ind", 0, 2, np.array([20, 10]))
    assert chosen.of(turned).tolist() == [True, False]
    assert chosen.within([turned]).rows == {"fmnist:test": (20,)}
    assert identity([turned]) != identity(given)
    moved = projection("pca")  # another view of the same images
    assert identity(moved.groups) == identity(given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"of": "other"}, "of the points other, the picture shows"),
        ({"count": 3}, "has 1 bytes with 2 points; 6 points with 3 chosen take 1 bytes"),
        ({"bits": "AwA="}, "has 2 bytes"),
        ({"bits": "QQ=="}, "has 1 bytes with 2 points"),  # the second bit is of no point
        ({"bits": "???"}, "not base64"),
    ],
)
def test_bits_of_something_else_are_refused(change, words):
    given = projection().groups
    said = encode(np.array([1, 0, 0, 0, 0, 1], bool), given)
    assert len(resolve(said, given)) == 2
    with pytest.raises(InputError, match=words):
        resolve({**said, **change}, given)


def test_an_empty_selection_is_false():
    assert not Selection()
    assert len(Selection({"a": (1, 2)})) == 2


# ---- component ----------------------------------------------------------------------------------------------------


def test_the_script_is_one_offline_module():
    pytest.importorskip("streamlit")
    from app.components.modules import bundle

    for folder in (ASSETS, ASSETS / "atlas"):
        script = bundle(folder)
        assert len(re.findall(r"^export default ", script, re.MULTILINE)) == 1
        assert not re.search(r"^\s*import\b|\bimport\(", script, re.MULTILINE)
        assert set(re.findall(r"https?://[^\"'\s]+", script)) <= {"http://www.w3.org/2000/svg"}


def test_every_asset_is_shipped_in_the_wheel():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["app"]
    shipped = {path for pattern in patterns for path in (ROOT / "app").glob(pattern)}
    assets = {path for path in ASSETS.rglob("*") if path.is_file()}
    assert len(assets) == 11
    assert assets | set(SHARED.iterdir()) <= shipped


def _page() -> None:
    import numpy as np
    import streamlit as st

    from app.components.scatter import scatter
    from tests.app.test_scatter import projection

    state = scatter(projection(), images={"mnist": np.zeros((2, 4, 4), np.uint8)}, key="s")
    st.json({"hidden": state.hidden, "selected": state.selected, "chosen": dict(state.chosen.rows)})


def test_component_sends_the_payload_and_gives_the_state_back():
    testing = pytest.importorskip("streamlit.testing.v1")
    at = testing.AppTest.from_function(_page)
    at.run()
    assert not at.exception
    assert json.loads(at.json[0].value) == {"hidden": [], "selected": None, "chosen": {}}
    sent = {e.proto.component_name: e.proto.bytes for e in at.get("bidi_component")}
    assert unpack(sent["fssd_scatter"])[0]["atlas"] == unpack(sent["fssd_atlas"])[0]["version"]
    given = projection().groups
    lasso = encode(np.array([0, 1, 1, 0, 1, 0], bool), given)
    at.session_state["s"] = {"hidden": ["noise"], "selected": {"group": "mnist", "row": 10}, "lasso": lasso}
    at.run()
    chosen = {"fmnist:test": [10, 20], "mnist": [10]}
    assert json.loads(at.json[0].value) == {"hidden": ["noise"], "selected": ["mnist", 10], "chosen": chosen}
    del at.session_state["s"]  # the component leaves the page and comes back: what was chosen stays
    at.run()
    assert json.loads(at.json[0].value)["chosen"] == chosen
    at.session_state["s"] = {"lasso": encode(np.zeros(6, bool), given)}
    at.run()
    assert json.loads(at.json[0].value)["chosen"] == {}
