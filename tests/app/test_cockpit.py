"""The cockpit's Python half: packing, the module bundle, what is sent when, and what comes back."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from app.components.examples_packing import Examples, pack_examples
from app.components.modules import SHARED, bundle
from app.components.packing import unpack as read_sections
from app.components.scores_packing import MAGIC, Block, columns_at, pack, scores_at
from fssd_core.ensemble import combine
from fssd_core.errors import InputError
from fssd_core.metrics import confusion, threshold_at_tpr
from fssd_core.operating_point import Choice, choose_threshold
from fssd_core.types import LayerScores, Weights

cockpit = pytest.importorskip("app.components.cockpit", reason="streamlit is not installed")
testing = pytest.importorskip("streamlit.testing.v1")

HARNESS = Path(__file__).resolve().parents[1] / "e2e" / "harness_cockpit.py"
LAYERS = ("conv", "logits")
KNOTS = (0.0, 0.01, 0.05, 0.2)
HAND = asdict(Choice("hand", tpr=0.7))


def scores(count: int = 7, *, seed: int = 0, shift: float = 0.0) -> LayerScores:
    values = np.random.default_rng(seed).normal(3.0 + shift, 1.0, size=(count, len(LAYERS)))
    return LayerScores(values.astype(np.float32), LAYERS)


def sweep(count: int = 7, *, seed: int = 0) -> dict[float, LayerScores]:
    return {knot: scores(count, seed=seed + i) for i, knot in enumerate(KNOTS)}


def unpacked(payload: bytes) -> tuple[dict[str, Any], np.ndarray]:
    assert payload[:4] == MAGIC
    length = int.from_bytes(payload[4:8], "little")
    header = json.loads(payload[8 : 8 + length])
    return header, np.frombuffer(payload[8 + length :], "<f4").reshape(header["shape"])


# ---- packing ---------------------------------------------------------------------------------------------------------


def test_the_block_holds_every_score_column_by_column() -> None:
    given = sweep()
    block = pack("mnist", given)
    header, values = unpacked(block.payload())
    assert header == {"id": block.id, "shape": [4, 2, 7]}
    for e, knot in enumerate(KNOTS):
        np.testing.assert_array_equal(values[e], given[knot].values.T)
    assert (block.knots, block.layers, len(block), block.dropped) == (KNOTS, LAYERS, 7, 0)


def test_knots_are_sorted_and_one_set_of_scores_is_one_knot() -> None:
    given = sweep()
    assert pack("a", dict(reversed(list(given.items())))).id == pack("a", given).id
    assert pack("a", scores()).values.shape == (1, 2, 7)


def test_the_id_follows_content_alone() -> None:
    first = pack("a", scores())
    assert pack("b", scores()).id == first.id
    changed = scores().values.copy()
    changed[3, 1] = np.nextafter(changed[3, 1], np.float32(9))
    assert pack("a", LayerScores(changed, LAYERS)).id != first.id
    transposed = LayerScores(scores(2).values.T.copy(), LAYERS)
    assert pack("a", transposed).id != pack("a", scores(2)).id


def test_images_without_a_finite_score_are_left_out_of_every_knot_and_counted() -> None:
    given = sweep()
    broken = given[0.05].values.copy()
    broken[2, 0], broken[5, 1] = np.nan, -np.inf
    block = pack("a", {**given, 0.05: LayerScores(broken, LAYERS)})
    assert (len(block), block.dropped) == (5, 2)
    np.testing.assert_array_equal(block.values[0], given[0.0].values[[0, 1, 3, 4, 6]].T)


def test_an_empty_set_packs_to_no_values() -> None:
    header, values = unpacked(pack("a", scores(0)).payload())
    assert header["shape"] == [1, 2, 0]
    assert values.size == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "at least one"),
        ({float("nan"): scores()}, "all finite"),
        ({0.0: scores(7), 0.1: scores(8)}, "8 images .* but 7"),
        ({0.0: scores(), 0.1: LayerScores(scores().values, ("x", "y"))}, "of x, y at epsilon 0.1"),
    ],
)
def test_knots_that_do_not_fit_are_refused(given: dict[float, LayerScores], words: str) -> None:
    with pytest.raises(InputError, match=words):
        pack("mnist", given)


def test_between_knots_the_columns_are_scipys_pchip() -> None:
    given = sweep(20)
    block = pack("a", given)
    stacked = np.stack([given[k].values.astype(np.float64) for k in KNOTS])
    for epsilon in (0.001, 0.03, 0.05000001, 0.199):
        np.testing.assert_array_equal(columns_at(block, epsilon), PchipInterpolator(KNOTS, stacked)(epsilon))
    np.testing.assert_array_equal(columns_at(block, 0.05), given[0.05].values.astype(np.float64))
    with pytest.raises(InputError, match=r"outside 0 to 0\.2"):
        columns_at(block, 0.3)


def test_scores_at_a_knot_are_the_cores_combination() -> None:
    block, weights = pack("a", sweep(50)), Weights((-0.3, 1.0), LAYERS)
    np.testing.assert_allclose(scores_at(block, weights, 0.01), combine(sweep(50)[0.01], weights), rtol=0, atol=1e-14)
    with pytest.raises(InputError, match="must be equal"):
        scores_at(block, Weights((1.0,), ("conv",)), 0.01)


# ---- the module bundle -----------------------------------------------------------------------------------------------


def test_the_real_bundle_is_one_module_with_every_file_once() -> None:
    text = bundle(cockpit.ASSETS / "main.js")
    assert len(re.findall(r"^export ", text, re.MULTILINE)) == 1
    assert not re.search(r"^import ", text, re.MULTILINE)
    assert set(re.findall(r"https?://[^\"'\s]+", text)) <= {"http://www.w3.org/2000/svg"}
    wanted = {path.stem for path in cockpit.ASSETS.glob("*.js")} - {"main", "scores", "examples"}
    wanted |= {f"shared_assets_{path.stem}" for path in SHARED.glob("*.js")}
    assert sorted(re.findall(r"^const module_(\w+) = ", text, re.MULTILINE)) == sorted(wanted)


def test_the_bundle_keeps_scopes_apart_and_order(tmp_path: Path) -> None:
    (tmp_path / "b.js").write_text("const hidden = 1;\nexport function b() {\n  return hidden;\n}\n")
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport const a = b();\n')
    imports = 'import { a } from "./a.js";\nimport { b } from "./b.js";\n'
    (tmp_path / "m.js").write_text(imports + "export default function m() {\n  return a + b();\n}\n")
    text = bundle(tmp_path / "m.js")
    assert text.index("module_b =") < text.index("module_a =") < text.index("export default")
    assert text.count("const hidden") == 1
    assert "return { b };" in text


def test_a_folder_is_one_module_and_may_use_a_neighbours_file(tmp_path: Path) -> None:
    for folder in ("one", "shared"):
        (tmp_path / folder).mkdir()
    (tmp_path / "shared" / "tool.js").write_text("export const tool = 1;\n")
    (tmp_path / "one" / "1_a.js").write_text('import { tool } from "../shared/tool.js";\nconst a = tool;\n')
    (tmp_path / "one" / "2_b.js").write_text("export default () => a;\n")
    text = bundle(tmp_path / "one")
    needed, taken = "module_shared_tool =", "const { tool } = module_shared_tool;"
    assert text.index(needed) < text.index(taken) < text.index("export default")
    (tmp_path / "one" / "tool.js").write_text("export const other = 2;\n")
    (tmp_path / "m.js").write_text(
        'import { tool } from "./shared/tool.js";\nimport { other } from "./one/tool.js";\nexport default tool;\n'
    )
    text = bundle(tmp_path / "m.js")
    assert "{ tool } = module_shared_tool;" in text, "two files of one name stay apart"
    assert "{ other } = module_one_tool;" in text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('import { m } from "./m.js";\nexport default m;\n', "circle: m.js > m.js"),
        ('import * as x from "./x.js";\nexport default 1;\n', "not of the form"),
        ("export const one = 1;\n", "one default export"),
    ],
)
def test_a_bundle_that_cannot_be_is_refused(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "m.js").write_text(source)
    with pytest.raises(ValueError, match=words):
        bundle(tmp_path / "m.js")


# ---- start and echo --------------------------------------------------------------------------------------------------


def blocks(count: int = 40) -> tuple[Block, ...]:
    return tuple(
        cockpit.pack_all(sweep(count), {"mnist": sweep(count, seed=9), "photos": sweep(5, seed=5)}, ind_name="ind")
    )


def page(start: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """What the browser sends back for a start, with some of it changed."""
    told = {name: start[name] for name in ("alpha", "epsilon", "choice", "ood")}
    return {
        **told,
        "start": start["id"],
        "layers": list(LAYERS),
        "threshold": 1.5,
        "preset": None,
        "origin": None,
        **changed,
    }


def test_the_start_is_normalised_and_its_threshold_with_it() -> None:
    start = cockpit.start_of(blocks(), Weights((1.0, -4.0), LAYERS, "logistic", "some"), threshold=2.0)
    assert start["alpha"] == [0.25, -1.0]
    assert start["threshold"] == 0.5
    assert (start["epsilon"], start["ood"], start["name"], start["labels"]) == (0.0, "mnist", "logistic", "some")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epsilon": 0.3}, "outside 0 to 0.2"),
        ({"ood": "svhn"}, "not among mnist, photos"),
        ({"weights": Weights((1.0,), ("conv",))}, "must be equal"),
    ],
)
def test_a_start_outside_what_there_is_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        cockpit.start_of(blocks(), **{"weights": Weights((1.0, 1.0), LAYERS), **options})


def test_sets_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        cockpit.pack_all(scores(), {}, ind_name="ind")
    with pytest.raises(InputError, match="photos has the epsilons"):
        cockpit.pack_all(sweep(), {"photos": scores()}, ind_name="ind")
    with pytest.raises(InputError, match="photos has the layers"):
        cockpit.pack_all(scores(), {"photos": LayerScores(scores().values, ("x", "y"))}, ind_name="ind")


def given(alpha: tuple[float, ...] = (0.5, -1.0), **options: Any) -> dict[str, Any]:
    return cockpit.start_of(blocks(), Weights(alpha, LAYERS), **options)


def test_what_the_page_gave_back_may_be_passed_in_again_and_sends_nothing_new() -> None:
    start = given()
    last = {"given": start, "start": start}
    moved = page(start, alpha=[0.3, 0.6], epsilon=0.02, threshold=0.9, choice=HAND, ood=None)
    assert cockpit.settled_start(start, last, moved) is start  # the caller still says the first start
    echo = given((0.3, 0.6), epsilon=0.02, threshold=0.9, ood=None, choice=Choice(**HAND))
    assert cockpit.settled_start(echo, last, moved) is start
    assert cockpit.settled_start(given((0.3, 0.6)), last, moved) is start  # part of it
    held = page(start, alpha=[0.3, 0.6], choice={**HAND, "by": "tpr"})
    assert (
        cockpit.settled_start(given((0.3, 0.6), choice=Choice(tpr=0.7)), {"given": echo, "start": start}, held) is start
    )


def test_a_caller_who_wants_something_else_is_followed() -> None:
    start = given()
    last = {"given": start, "start": start}
    moved = page(start, alpha=[0.3, 0.6])
    assert cockpit.settled_start(start, None, None) is start
    mounted_anew = given((0.3, 0.6))  # handed back, but the page was left in between and its state is gone
    assert cockpit.settled_start(mounted_anew, {"given": mounted_anew, "start": start}, None) is mounted_anew
    for other in (
        given((1.0, 1.0)),
        given(epsilon=0.05),
        given(choice=Choice("fpr")),
        given(ood="photos"),
        given(threshold=3.0),
    ):
        assert cockpit.settled_start(other, last, moved) is other
        assert cockpit.settled_start(other, last, None) is other
    assert cockpit.settled_start(given((0.3, 0.6)), last, page({**start, "id": "older"}, alpha=[0.3, 0.6]))[
        "alpha"
    ] == [0.5, 1.0]


def test_before_any_release_the_setting_is_the_start_with_the_threshold_the_page_will_find() -> None:
    packed = blocks()
    setting = cockpit.setting_of(packed, given(epsilon=0.03), {}, None)
    wanted = scores_at(packed[0], setting.weights, 0.03)
    assert setting.threshold == threshold_at_tpr(wanted, 0.95)
    assert confusion(wanted, wanted, setting.threshold).tp == 38
    assert (setting.chosen, setting.ood, setting.by_user) == ({"by": "tpr", "value": 0.95}, "mnist", False)


@pytest.mark.parametrize("choice", [Choice("fpr", fpr=0.1), Choice("cost"), Choice("alarms", alarms=400)])
@pytest.mark.parametrize("ood", ["photos", None])
def test_a_start_by_another_rule_begins_at_the_rules_threshold(choice: Choice, ood: str | None) -> None:
    packed = blocks()
    setting = cockpit.setting_of(packed, given(choice=choice, ood=ood), {}, None)
    sides = cockpit.chosen_scores(packed, setting.weights, 0.0, ood)
    assert len(sides[1]) == (5 if ood else 45)
    wanted = choose_threshold(*sides, choice)
    assert setting.threshold == wanted or (np.isinf(wanted) and setting.threshold > np.concatenate(sides).max())
    assert setting.choice == choice


def test_a_threshold_given_is_one_set_by_hand() -> None:
    setting = cockpit.setting_of(blocks(), given((1.0, -4.0), threshold=2.0, choice=Choice("cost")), {}, None)
    assert (setting.chosen, setting.threshold) == ({"by": "hand", "value": 0.5}, 0.5)
    assert cockpit.setting_of(blocks(), given(choice=Choice("hand")), {}, None).choice.by == "tpr"


def test_after_a_release_the_setting_is_the_pages() -> None:
    start = given()
    moved = page(start, alpha=[0.3, 0.6], epsilon=0.02, threshold=0.9, choice=HAND, ood=None)
    setting = cockpit.setting_of(blocks(), start, {}, moved)
    assert setting == cockpit.Setting(
        Weights((0.3, 0.6), LAYERS, "manual", cockpit.LOOKED_AT), 0.02, 0.9, Choice("hand", tpr=0.7), None, True
    )


def test_a_setting_of_another_start_or_other_layers_does_not_count() -> None:
    start = given()
    for stale in (page({**start, "id": "older"}), page(start, layers=["x", "y"])):
        assert not cockpit.setting_of(blocks(), start, {}, stale).by_user
    gone = cockpit.setting_of(blocks(), start, {}, page(start, ood="svhn", epsilon=9.0))
    assert (gone.ood, gone.epsilon) == ("mnist", 0.2)


def test_labels_stay_with_weights_that_were_moved_by_hand() -> None:
    start = given()
    presets = {"logistic on mnist": Weights((1.0, 0.5), LAYERS, "logistic", "500 ind + 500 ood images of mnist")}
    pressed = cockpit.setting_of(
        blocks(), start, presets, page(start, preset="logistic on mnist", origin="logistic on mnist")
    )
    assert (pressed.weights.rule, pressed.weights.labels) == ("logistic", "500 ind + 500 ood images of mnist")
    moved = cockpit.setting_of(blocks(), start, presets, page(start, origin="logistic on mnist")).weights
    assert moved.rule == "manual"
    assert moved.labels == "by hand, starting from logistic on mnist: 500 ind + 500 ood images of mnist"
    again = cockpit.start_of(blocks(), moved)
    assert cockpit.setting_of(blocks(), again, presets, page(again, origin="manual")).weights.labels == moved.labels


def test_the_configuration_is_small_and_the_same_from_run_to_run() -> None:
    start, presets = given(), {"uniform": Weights((1.0, 1.0), LAYERS, "uniform", "none")}
    first, second = (json.dumps(cockpit.configuration(blocks(400), start, presets, key="k")) for _ in range(2))
    assert first == second
    assert len(first) < 4000


# ---- through Streamlit -----------------------------------------------------------------------------------------------


def mounted(case: str) -> Any:
    app = testing.AppTest.from_file(str(HARNESS), default_timeout=30)
    app.query_params["case"] = case
    return app.run()


@pytest.mark.parametrize("case", ["plain", "sets", "ties", "odd"])
def test_the_component_mounts_with_one_carrier_a_set(case: str) -> None:
    app = mounted(case)
    assert not app.exception
    protos = [element.proto for element in app.get("bidi_component")]
    config = json.loads(protos[0].json)
    assert read_sections(protos[1].bytes)[0]["version"] == config["examples"]
    carried = [unpacked(proto.bytes)[0] for proto in protos[2:]]
    assert [header["id"] for header in carried] == [s["block"] for s in [config["ind"], *config["ood"]]]
    assert config["notes"] == (
        [
            "3 of 1,500 mnist images have a score that is not a finite number and are left out of everything on this "
            "page."
        ]
        if case == "odd"
        else []
    )


def test_a_released_setting_reaches_the_script_and_changes_nothing_that_is_sent() -> None:
    app = mounted("plain")
    before = json.loads(app.get("bidi_component")[0].proto.json)
    start = app.session_state["_harness:start"]["start"]
    told = json.loads(app.code[0].value)
    assert told["alpha"] == start["alpha"]
    state = page(
        start, alpha=[0.1, 0.2, 0.3, 0.4], layers=["conv1", "conv2", "fc1", "logits"], threshold=2.25, origin="logistic"
    )
    app.session_state["harness"] = {"setting": state}
    app.run()
    told = json.loads(app.code[0].value)
    assert (told["alpha"], told["threshold"], told["rule"]) == ([0.1, 0.2, 0.3, 0.4], 2.25, "manual")
    after = json.loads(app.get("bidi_component")[0].proto.json)
    facts = after.pop("facts")
    assert before.pop("facts")["for"]["alpha"] == start["alpha"]
    assert after == before
    assert facts["for"] == {"alpha": [0.1, 0.2, 0.3, 0.4], "epsilon": 0.0, "threshold": 2.25, "ood": "mnist"}
    assert len(json.dumps(facts)) < 1000


def test_a_selected_example_is_part_of_the_setting() -> None:
    app = mounted("plain")
    assert json.loads(app.code[0].value)["inspect"] is None
    app.session_state["harness"] = {"inspect": {"set": "data/mnist", "row": 17}}
    app.run()
    assert json.loads(app.code[0].value)["inspect"] == ["data/mnist", 17]


# ---- examples --------------------------------------------------------------------------------------------------------


def pictures(count: int) -> np.ndarray:
    return np.tile(np.arange(count, dtype=np.uint8)[:, None, None], (1, 28, 28))


def test_examples_keep_rows_and_places_though_scores_are_left_out() -> None:
    values = scores(9).values.copy()
    values[[2, 5], 0] = np.nan
    packed = (pack("ind", scores(4)), pack("mnist", LayerScores(values, LAYERS)))
    rows = np.arange(9) * 10 + 1
    shown = pack_examples(
        packed,
        {"ind": Examples("a", pictures(4), np.arange(4)), "mnist": Examples("b", pictures(9), rows)},
    )
    assert shown is not None
    header, sections = read_sections(shown.payload)
    assert header["sets"] == [
        {"name": "ind", "ref": "a", "first": 0, "count": 4},
        {"name": "mnist", "ref": "b", "first": 4, "count": 7},
    ]
    pixels = sections["pixels"].reshape(11, 28 * 28)
    for cell in range(4, 11):
        place, row = sections["at"][cell], sections["row"][cell]
        assert row == pixels[cell, 0] * 10 + 1
        np.testing.assert_array_equal(packed[1].values[0, :, place], values[pixels[cell, 0]])
    assert pack_examples(packed, {}) is None


def test_examples_stay_within_their_budget_and_are_the_same_draw_each_time() -> None:
    packed = (pack("ind", scores(2000)), pack("mnist", scores(700)))
    big = {n: Examples(n, np.zeros((c, 64, 64, 3), np.uint8), np.arange(c)) for n, c in (("ind", 2000), ("mnist", 700))}
    first, second = (pack_examples(packed, big) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert len(first.payload) <= 1_250_000
    assert read_sections(first.payload)[0]["count"] == 600
    with pytest.raises(InputError, match="700 scores but 2 images"):
        pack_examples(packed, {"mnist": Examples("m", pictures(2), np.arange(2))})
