"""The film's Python side: the payload byte by byte, its words, where it starts, and the page through AppTest."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from app import theme
from app.components.film import ASSETS
from app.components.film_packing import TURN, pack_film, start_of
from app.components.modules import bundle
from app.components.packing import pack_atlas, unpack
from app.film_words import Course, about_frame, about_motion, headline
from fssd_core.assets import assets_root
from fssd_core.errors import InputError
from fssd_core.types import Faithfulness
from tests.film_maker import CLASSES, STEPS, made_dynamics, made_film, made_images

ROOT = Path(__file__).resolve().parents[2]
HARNESS = str(ROOT / "tests" / "e2e" / "harness_film.py")
ENTRY = str(ROOT / "app" / "main.py")
START = {"step": 938, "radius": "median", "autoplay": False}
OPTIONS: dict[str, Any] = {
    "key": "k",
    "title": "Around F*",
    "titles": {"digits": "digits (test)"},
    "class_names": CLASSES,
    "epochs": {s: s / 938 for s in STEPS},
    "start": START,
    "colour_by_class": False,
    "height": 560,
    "large": False,
    "renderer": "auto",
    "inspect": True,
}


def packed(film: Any, **changed: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    extra = {name: changed.pop(name) for name in ("dynamics", "atlas") if name in changed}
    return unpack(pack_film(film, options={**OPTIONS, **changed}, **extra))


# ---- the payload -----------------------------------------------------------------------------------------------------


def test_distances_go_exactly_and_angles_to_a_ten_thousandth() -> None:
    film = made_film(170)
    header, sections = packed(film)
    shape = (len(STEPS), 170)
    np.testing.assert_array_equal(sections["distance"].reshape(shape), film.distance)
    angle = sections["angle"].reshape(shape) / TURN
    assert film.angle is not None
    turned = np.abs(np.exp(1j * angle) - np.exp(1j * film.angle))
    assert turned.max() < 1e-4
    assert sections["angle"].dtype == np.int16
    np.testing.assert_array_equal(sections["row"], np.concatenate([g.rows for g in film.groups]))
    np.testing.assert_array_equal(sections["label"], film.labels)
    assert header["steps"] == list(STEPS)
    assert header["indMedian"] == [float(m) for m in film.ind_median]
    assert header["epochs"] == [s / 938 for s in STEPS]
    assert [s["name"] for s in header["spokes"]] == list(CLASSES)
    assert header["centred"]
    assert header["dynamics"] is None


def test_the_shared_plane_goes_as_coordinates() -> None:
    film = made_film(90, view="pca")
    header, sections = packed(film)
    np.testing.assert_array_equal(sections["xy"].reshape(len(STEPS), 90, 2), film.xy)
    assert "angle" not in sections
    assert (header["centred"], header["axes"], header["spokes"]) == (False, ["PC 1", "PC 2"], [])


def test_groups_have_the_colours_and_markers_of_every_other_picture() -> None:
    groups = packed(made_film())[0]["groups"]
    assert [g["label"] for g in groups] == ["digits (test)", "photos", "inverted", "turned", "noise"]
    assert [g["colours"]["light"] for g in groups] == [
        theme.IND["light"], theme.ood(0, "light"), theme.ood(1, "light"), theme.ood(2, "light"), theme.NOISE["light"],
    ]  # fmt: skip
    assert [g["marker"] for g in groups] == ["circle", "plus", "cross", "triangle", "dot"]


def test_numbers_over_training_go_in_the_films_order_of_groups() -> None:
    film = made_film()
    numbers = made_dynamics(film)
    turn = [4, 2, 0, 1, 3]
    names = [numbers.groups[i] for i in turn]
    moved = {n: getattr(numbers, n)[:, :, turn] for n in ("mean", "bands", "norm", "auroc")}
    mixed = dataclasses.replace(numbers, groups=tuple(names), **moved)
    for given in (numbers, mixed):
        header, sections = packed(film, dynamics=given)
        about = header["dynamics"]
        assert (about["layers"], about["layer"], about["groups"]) == (["conv", "fc1"], 1, 5)
        assert about["quantiles"] == [0.25, 0.75]
        assert about["accuracy"] == list(numbers.accuracy)
        assert about["loss"] == [None, *numbers.loss[1:]]
        shape = (len(STEPS), 2, 5)
        for name, values in (("mean", numbers.mean), ("norm", numbers.norm), ("auroc", numbers.auroc)):
            np.testing.assert_allclose(sections[f"dyn_{name}"].reshape(shape), values, rtol=1e-6)
        np.testing.assert_allclose(sections["dyn_low"].reshape(shape), numbers.bands[..., 1], rtol=1e-6)
        np.testing.assert_allclose(sections["dyn_high"].reshape(shape), numbers.bands[..., 3], rtol=1e-6)


def test_unknown_epochs_accuracy_and_loss_are_left_out() -> None:
    film = made_film()
    numbers = dataclasses.replace(made_dynamics(film), accuracy=None, loss=None)
    header, sections = packed(film, dynamics=numbers, epochs={0: 0.0})
    assert header["epochs"] is None
    assert (header["dynamics"]["accuracy"], header["dynamics"]["loss"]) == (None, None)
    assert "dyn_mean" in sections


def test_the_version_follows_the_content() -> None:
    film = made_film()
    versions = [
        packed(film)[0]["version"],
        packed(film)[0]["version"],
        packed(film, large=True)[0]["version"],
        packed(film, dynamics=made_dynamics(film))[0]["version"],
        packed(film, start={**START, "step": 5})[0]["version"],
        packed(dataclasses.replace(film, distance=film.distance * 2))[0]["version"],
    ]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 5


def test_a_start_has_another_id_only_where_it_leads_elsewhere_or_is_asked_for_again() -> None:
    assert start_of(START)["id"] == start_of({**START, "step": 938.0})["id"]
    others = [{**START, "step": 5}, {**START, "radius": "log"}, {**START, "nonce": 1}, {**START, "autoplay": True}]
    assert len({start_of(s)["id"] for s in [START, *others]}) == 5


def test_images_are_found_by_group() -> None:
    film = made_film()
    images = made_images(film)
    del images["noise"]
    atlas = pack_atlas(film.groups, images)
    header, _ = packed(film, atlas=atlas)
    assert atlas is not None
    assert header["atlas"] == atlas.version
    assert [g["cell"] for g in header["groups"]] == [0, 60, 90, 120, -1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start": {**START, "radius": "cubic"}}, "no radius mode 'cubic'; known: median, absolute, log"),
        ({"renderer": "vulkan"}, "no renderer 'vulkan'; known: auto, webgl, canvas"),
    ],
)
def test_options_that_do_not_exist_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        packed(made_film(), **change)


def test_films_and_numbers_that_do_not_fit_are_refused() -> None:
    film = made_film()
    broken = film.distance.copy()
    broken[3, 5] = np.nan
    with pytest.raises(InputError, match="not finite"):
        packed(dataclasses.replace(film, distance=broken))
    with pytest.raises(InputError, match="compute both for the same study"):
        packed(film, dynamics=made_dynamics(made_film(steps=STEPS[:5])))
    numbers = made_dynamics(film)
    less = dataclasses.replace(numbers, groups=(*numbers.groups[:2], ("other", "ood"), *numbers.groups[3:]))
    with pytest.raises(InputError, match="lack the groups inverted"):
        packed(film, dynamics=less)


# ---- words -----------------------------------------------------------------------------------------------------------


def test_the_headline_says_what_falls_what_does_not_and_that_all_moves_outward() -> None:
    courses = [Course("photos", 1.08, 0.31, 9.0), Course("turned", 1.05, 1.43, 20.0), Course("same", 1.0, 1.03, 12.0)]
    said = headline("fc1", (0, 938), courses, 27.8, title_of=str.upper)
    assert said == (
        "In **fc1**, from untrained to step 938, with the ind median distance to F\\* as 1: **PHOTOS** falls from 1.08 "
        "to **0.31**; **TURNED** does not: 1.05 to **1.43**; **SAME** stays: 1.00 to **1.03**. Every group moves "
        "outward, ind 27.8-fold: what concentrates lags behind."
    )


def test_the_headline_owns_up_where_the_story_is_another() -> None:
    inward = [Course("a", 0.8, 0.5, 0.8), Course("b", 0.9, 0.7, 0.9)]
    said = headline("conv1", (5, 938), inward, 1.28)
    assert said.startswith("In **conv1**, from step 5 to step 938, ")
    assert "**a** falls from 0.80 to **0.50** and **b** falls from 0.90 to **0.70**" in said
    assert said.endswith("The ind median grows by 28 %, while a and b move inward.")
    above = headline("x", (0, 5), [Course("a", 1.6, 1.2, 1.0)], 0.5)
    assert "**a** comes down, yet not below ind: 1.60 to **1.20**" in above
    assert above.endswith("The ind median itself shrinks to 0.50 of what it was.")
    assert "there is no ood set to compare with" in headline("x", (0, 5), [], 2.0)


def faithful(film: Any, t: int, **changed: float) -> Any:
    each = list(film.faithfulness)
    each[t] = dataclasses.replace(each[t], **changed)
    return dataclasses.replace(film, faithfulness=tuple(each))


def test_each_picture_says_how_far_it_can_be_believed() -> None:
    film = made_film()
    first = about_frame(film, 0)
    assert first.warn
    assert "Untrained: the baseline" in first.text
    assert "The angle means little before training" in first.text
    good = about_frame(faithful(film, 4, trustworthiness=0.96), 4)
    assert (
        good.text
        == "Distance to F* is drawn exactly. Points side by side are mostly true neighbours (trustworthiness 0.96)."
    )
    assert not good.warn
    assert not about_frame(faithful(film, 4, trustworthiness=0.8), 4).warn
    assert about_frame(faithful(film, 4, trustworthiness=0.7), 4).warn
    plane = dataclasses.replace(made_film(view="pca"), faithfulness=(Faithfulness(0.55, 0.5, 0.95),) * len(STEPS))
    assert about_frame(plane, 3).warn
    assert (
        "only loosely (Spearman rho 0.55; the plane holds 60 % of the squared distance)" in about_frame(plane, 3).text
    )


def test_the_motion_is_measured_for_each_radius() -> None:
    film = made_film()
    by_radius = {"median": [0.1] * 11, "absolute": [0.9] * 11, "log": [float("nan")] * 11}
    told = dataclasses.replace(film, notes={**film.notes, "motion_by_radius": by_radius})
    assert about_motion(told, 2, "median").text == (
        "Motion from step 10 to 20: drawn follows true displacement hardly (Spearman rho 0.10)."
    )
    assert about_motion(told, 2, "median").warn
    absolute = about_motion(told, 2, "absolute")
    assert "closely (Spearman rho 0.90)" in absolute.text
    assert not absolute.warn
    assert "nothing moves, or all points move alike" in about_motion(told, 2, "log").text
    without = dataclasses.replace(film, notes={})
    assert "(measured over the ind median)" in about_motion(without, 2, "absolute").text


def test_misleading_motion_is_named() -> None:
    film = made_film(view="umap")
    assert about_motion(film, 10).warn
    assert "Turning round the circle is AlignedUMAP's doing: believe the radius." in about_motion(film, 10).text
    passing = dataclasses.replace(film, notes={**film.notes, "through_fss": [0.14] * 11})
    assert "14 % of the points seem to pass by F*" in about_motion(passing, 0).text
    assert "pass by" not in about_motion(passing, 0, "absolute").text


# ---- the component ---------------------------------------------------------------------------------------------------


def test_the_films_modules_and_what_they_share_make_one_script() -> None:
    text = bundle(ASSETS / "main.js")
    assert len(re.findall(r"^export ", text, re.MULTILINE)) == 1
    assert not re.search(r"^import ", text, re.MULTILINE)
    assert "https://" not in text
    own = {path.stem for path in ASSETS.glob("*.js")} - {"main"}
    shared = {"cockpit_assets_dom", "cockpit_assets_look", "scatter_assets_1_numbers", "scatter_assets_2_markers"}
    assert set(re.findall(r"^const module_(\w+) = \(\(\) => \{$", text, re.MULTILINE)) == own | shared


def test_a_plain_script_of_another_folder_can_be_shared(tmp_path: Path) -> None:
    for folder in ("one_assets", "two_assets"):
        (tmp_path / folder).mkdir()
    (tmp_path / "one_assets" / "a.js").write_text(
        "const TAU = 6;\nfunction a() {\n  const inner = TAU;\n  return inner;\n}\n"
    )
    (tmp_path / "two_assets" / "a.js").write_text("export const b = 1;\n")
    (tmp_path / "two_assets" / "m.js").write_text(
        'import { a } from "../one_assets/a.js";\nimport { b } from "./a.js";\nexport default () => a() + b;\n'
    )
    text = bundle(tmp_path / "two_assets" / "m.js")
    assert "return { TAU, a };" in text
    assert "const { a } = module_one_assets_a;" in text
    assert "const { b } = module_a;" in text


def mounted(**params: str) -> AppTest:
    app = AppTest.from_file(HARNESS, default_timeout=30)
    for name, value in params.items():
        app.query_params[name] = value
    return app.run()


def payload(app: AppTest) -> dict[str, Any]:
    assert not app.exception, [e.value for e in app.exception]
    return unpack(app.get("bidi_component")[0].proto.bytes)[0]


@pytest.mark.parametrize("view", ["spokes", "umap", "pca"])
def test_the_component_mounts_with_film_and_images(view: str) -> None:
    app = mounted(view=view)
    header = payload(app)
    assert header["view"] == view
    assert unpack(app.get("bidi_component")[1].proto.bytes)[0]["version"] == header["atlas"]
    assert json.loads(app.code[0].value) == {"step": 2814, "radius": "median", "by_user": False, "opened": []}


def test_the_place_comes_back_unless_it_belongs_to_another_start() -> None:
    app = mounted()
    start = payload(app)["start"]
    app.session_state["harness"] = {"place": {"start": start["id"], "step": 919, "radius": "log"}}
    assert json.loads(app.run().code[0].value)["step"] == 919
    assert payload(app)["start"] == start
    app.session_state["harness"] = {"place": {"start": "older", "step": 919, "radius": "log"}}
    assert json.loads(app.run().code[0].value) == {"step": 2814, "radius": "median", "by_user": False, "opened": []}


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens the page over made-up films; `page.films` says which views are there, `page.jobs` what was asked for."""
    import streamlit as st

    from app import session
    from fssd_core import dynamics as dynamics_module
    from fssd_core import film as film_module

    monkeypatch.setenv("FSSD_HOME", str(tmp_path))
    st.cache_resource.clear()

    class Opened:
        films: dict[str, Any] = {}  # noqa: RUF012
        numbers: Any = None
        jobs: list[str] = []  # noqa: RUF012

        def open(self, **params: str) -> AppTest:
            app = AppTest.from_file(ENTRY, default_timeout=60)
            app.run()
            app.switch_page("views/film.py")
            for name, value in params.items():
                app.query_params[name] = value
            return app.run()

    opened = Opened()
    opened.films, opened.jobs = {"spokes": made_film(layer="logits")}, []
    opened.numbers = made_dynamics(opened.films["spokes"], layers=("fc1", "logits"))

    def asked(name: str, call: str, study: Any, args: dict[str, Any]) -> Any:
        opened.jobs.append(call)
        return type("Waiting", (), {"state": "running"})()

    monkeypatch.setattr(film_module, "stored_film", lambda study, layer, view, **_: opened.films.get(view))
    monkeypatch.setattr(dynamics_module, "stored_dynamics", lambda study, **_: opened.numbers)
    monkeypatch.setattr(session, "run_job", asked)
    yield opened
    st.cache_resource.clear()


def test_the_page_shows_the_stored_film_and_plays_once(page: Any) -> None:
    app = page.open()
    header = payload(app)
    assert header["start"] | {"id": ""} == {"step": 2814.0, "radius": "median", "autoplay": True, "id": ""}
    assert header["dynamics"]["layers"] == ["fc1", "logits"]
    assert header["title"] == "Around F* · layer logits"
    said = next(m.value for m in app.markdown if m.value.startswith("In **logits**"))
    numbers = page.numbers
    first, last = (numbers.mean[t, 1, 1] / numbers.ind_median[t, 1] for t in (0, -1))
    assert f"**photos ()** falls from {first:.2f} to **{last:.2f}**" in said
    assert page.jobs == []


def test_a_place_in_the_address_is_where_the_page_starts(page: Any) -> None:
    app = page.open(film_step="669", film_radius="absolute")
    header = payload(app)
    assert header["start"] | {"id": ""} == {"step": 669.0, "radius": "absolute", "autoplay": False, "id": ""}
    assert not header["large"]
    assert payload(app.toggle(key="present").set_value(True).run())["large"], "presenter mode"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"film_step": "soon"}, "The film_step 'soon' in the address is no training step"),
        ({"film_step": "nan"}, "The film_step 'nan' in the address is no training step"),
        ({"film_radius": "cubic"}, "The film_radius 'cubic' in the address is not one of median, absolute, log"),
    ],
)
def test_a_bad_address_is_one_warning_and_the_film_shows(page: Any, params: dict[str, str], words: str) -> None:
    app = page.open(**params)
    assert any(words in w.value for w in app.warning)
    assert payload(app)["start"]["radius"] == "median"


def test_what_was_let_go_is_in_the_address_and_the_start_stays(page: Any) -> None:
    app = page.open(film_step="5")
    start = payload(app)["start"]
    app.session_state["film-player"] = {"place": {"start": start["id"], "step": 1407.125, "radius": "log"}}
    app.run()
    assert app.query_params["film_step"] == "1407.125"
    assert app.query_params["film_radius"] == "log"
    assert payload(app)["start"] == start, "nothing new is sent for what the page said itself"
    app.query_params["film_step"] = "20"
    moved = payload(app.run())["start"]
    assert (moved["step"], moved["radius"], moved["autoplay"]) == (20.0, "log", False)
    assert moved["id"] != start["id"]


def test_a_network_with_one_checkpoint_has_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import streamlit as st

    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FSSD_DATA_ROOT", str(tmp_path))
    one = tmp_path / "mine.safetensors"
    one.write_bytes(next((assets_root() / "models" / "lenet").glob("*.safetensors")).read_bytes())
    st.cache_resource.clear()
    st.cache_data.clear()
    app = AppTest.from_file(ENTRY, default_timeout=60)
    app.query_params["model"] = "mine.safetensors"
    app.run()
    app.switch_page("views/film.py").run()
    assert not app.exception
    assert "is a single network without checkpoints; motion needs at least 2" in app.error[0].value
    assert not app.get("bidi_component")
    st.cache_resource.clear()
    st.cache_data.clear()


def test_a_missing_film_is_computed_while_another_view_shows(page: Any) -> None:
    page.films = {"pca": made_film(layer="logits", view="pca")}
    page.numbers = None
    app = page.open(film_step="5")
    assert page.jobs == ["film", "dynamics"]
    assert payload(app)["view"] == "pca"
    assert payload(app)["dynamics"] is None
    assert any("Meanwhile: PCA around F*, logits." in c.value for c in app.caption)
    page.films = {}
    app = page.open()
    assert not app.get("bidi_component")
    assert not app.exception
