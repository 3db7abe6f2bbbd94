"""The cockpit in a real Chromium: its numbers against scikit-learn, dragging without traffic, keyboard, odd input."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from tests.e2e.conftest import open_page, serve

pytest.importorskip("streamlit")
from app.components.scores_packing import columns_at, pack
from fssd_core.metrics import aupr
from fssd_core.operating_point import Choice, choose_threshold, outlook, rate_intervals
from fssd_core.paired import paired_differences
from fssd_core.types import LayerScores
from tests.e2e import harness_cockpit as harness

pytestmark = pytest.mark.e2e

ASSETS = Path(__file__).resolve().parents[2] / "app" / "components" / "cockpit_assets"
PROBE = "globalThis.__fssdCockpit?.harness"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(Path(__file__).with_name("harness_cockpit.py")) as url:
        yield url


@contextmanager
def shown(browser: Any, server: str, case: str, **options: Any) -> Iterator[Any]:
    """The page of a case, once the cockpit has drawn."""
    with open_page(browser, f"{server}/?case={case}", **{"height": 1300, **options}) as page:
        page.set_default_timeout(15_000)
        page.wait_for_function(f"{PROBE}?.updates > 0")
        page.locator("[data-testid=stCode]").wait_for()
        yield page


def probe(page: Any, what: str) -> Any:
    """Something of what the cockpit exposes (an expression with `cockpit`, or a part's name), once it has drawn."""
    expression = what if "cockpit." in what else f"cockpit.{what}"
    return page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {"
        f"const cockpit = {PROBE}; done({expression}); }})))"
    )


def told(page: Any) -> dict[str, Any]:
    """What the script on the server has."""
    return json.loads(page.locator("[data-testid=stCode] code").inner_text())


def after_run(page: Any, runs: int) -> dict[str, Any]:
    """What the script has once it ran again."""
    page.wait_for_function(f"JSON.parse(document.querySelector('[data-testid=stCode] code').innerText).runs > {runs}")
    return told(page)


def tile(page: Any, metric: str) -> str:
    return page.locator(f"[data-metric={metric}]").inner_text()


def slide(page: Any, name: str, value: float) -> None:
    """Moves a slider as a drag does: input events alone, nothing let go."""
    page.get_by_role("slider", name=name, exact=True).evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def press(page: Any, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def columns(scores: LayerScores | dict[float, LayerScores], epsilon: float = 0.0) -> np.ndarray:
    """(N, K) float64 by scipy, from the harness' own scores."""
    if isinstance(scores, LayerScores):
        return scores.values.astype(np.float64)
    knots = sorted(scores)
    return PchipInterpolator(knots, np.stack([scores[k].values.astype(np.float64) for k in knots]), axis=0)(epsilon)


def combined(columns: np.ndarray, alpha: Any) -> np.ndarray:
    """(N,) sum_k alpha_k d_k, added up in layer order: ties stay ties, whatever the machine's matrix product does."""
    total = np.zeros(len(columns))
    for a, column in zip(alpha, columns.T, strict=True):
        total += a * column
    return total


def expected(ind: np.ndarray, ood: np.ndarray) -> dict[str, float]:
    """The page's numbers by scikit-learn; FPR at the first threshold of its ROC curve that reaches the TPR."""
    truth, values = np.repeat([1, 0], [len(ind), len(ood)]), np.concatenate([ind, ood])
    fpr, tpr, _ = roc_curve(truth, values, drop_intermediate=False)
    return {
        "auroc": roc_auc_score(truth, values),
        "auprIn": average_precision_score(truth, values),
        "auprOut": average_precision_score(1 - truth, -values),
        "fpr80": fpr[np.argmax(tpr >= 0.8)],
        "fpr95": fpr[np.argmax(tpr >= 0.95)],
        "detectionError": ((1 - tpr + fpr) / 2).min(),
    }


# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["plain", "ties", "large"])
def test_every_number_is_scikit_learns_while_nothing_is_let_go(browser: Any, server: str, case: str) -> None:
    ind, oods, layers = harness.case(case)
    (name, ood), *_ = oods.items()
    rng = np.random.default_rng(5)
    with shown(browser, server, case) as page:
        for draw in range(4):
            alpha = np.round(rng.uniform(-1, 1, len(layers)), 3) if draw else np.eye(len(layers))[0]
            for layer, value in zip(layers, alpha, strict=True):
                slide(page, f"Weight of {layer}", float(value))
            told_by_page = probe(page, "metrics")
            wanted = expected(combined(columns(ind), alpha), combined(columns(ood), alpha))
            assert {k: told_by_page[k] for k in wanted} == pytest.approx(wanted, abs=1e-6), (case, name, alpha)
            threshold, confusion = probe(page, "state.threshold"), probe(page, "confusion")
            scores = combined(columns(ind), alpha)
            assert threshold == np.sort(scores)[-int(np.ceil(0.95 * len(ind)))]
            assert confusion["tp"] == np.count_nonzero(scores >= threshold) >= 0.95 * len(ind)
        assert told(page)["runs"] == 1


def test_between_the_knots_the_numbers_are_those_of_scipys_pchip(browser: Any, server: str) -> None:
    ind, oods, _ = harness.case("sets")
    alpha = harness.presets(harness.LAYERS)["logistic"].normalised().alpha
    with shown(browser, server, "sets") as page:
        for place in (0.5, 2.25, 4.9, 5.333, 6, 1):  # on the slider: knot number and part of the way to the next
            slide(page, "Epsilon, the size of the perturbation in pixels", place)
            epsilon = probe(page, "state.epsilon")
            below = harness.KNOTS[int(place)]
            above = harness.KNOTS[min(int(place) + 1, 6)]
            assert epsilon == pytest.approx(below + (place - int(place)) * (above - below), abs=1e-15)
            a, b = combined(columns(ind, epsilon), alpha), combined(columns(oods["mnist"], epsilon), alpha)
            drawn = probe(page, "Array.from(cockpit.engine.sorted(cockpit.engine.ind))")
            np.testing.assert_allclose(drawn, np.sort(a), rtol=1e-12)
            wanted = expected(a, b)
            metrics = probe(page, "metrics")
            assert {k: metrics[k] for k in wanted} == pytest.approx(wanted, abs=1e-6)
        # every set at once, and all of them together
        page.get_by_label("all together").check()
        side = columns(ind, 0.002)
        sides = {name: columns(ood, 0.002) for name, ood in oods.items()}
        pooled = np.concatenate(list(sides.values()))
        metrics, wanted = probe(page, "metrics"), expected(combined(side, alpha), combined(pooled, alpha))
        assert {k: metrics[k] for k in wanted} == pytest.approx(wanted, abs=1e-6)
        for row in probe(page, "table"):
            wanted = expected(combined(side, alpha), combined(sides[row["name"]], alpha))
            assert (row["auroc"], row["fpr95"]) == pytest.approx((wanted["auroc"], wanted["fpr95"]), abs=1e-6)
        alone = [expected(side[:, k], pooled[:, k])["auroc"] for k in range(4)]
        assert probe(page, "layerAurocs") == pytest.approx(alone, abs=1e-6)


def test_the_pages_maths_on_hard_cases(browser: Any, server: str) -> None:
    rng = np.random.default_rng(3)
    heaps = {
        "outlier": [*rng.normal(size=500), 1e9],
        "all but one equal": [2.0] * 300 + [1.0],
        "equal": [1.5] * 20,
        "zeros of both signs": [0.0, -0.0, 1.0, -1.0, 0.0],
        "tiny span": list(1 + np.arange(40)[::-1] * 2.3e-16),
        "huge": [1e300, -1e300, 0.0, 5.0],
        "one": [4.0],
        "none": [],
    }
    load = """async (source) => {
        const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
        globalThis.maths = { ...globalThis.maths, ...(await import(url)) };
    }"""
    with open_page(browser, server) as page:
        for name in ("metrics.js", "pchip.js"):
            page.evaluate(load, (ASSETS / name).read_text(encoding="utf-8"))
        for name, values in heaps.items():
            got = page.evaluate("v => [...maths.sortInto(Float64Array.from(v), new Float64Array(v.length))]", values)
            np.testing.assert_array_equal(got, np.sort(values), err_msg=name)
        counts = [1, 3, 7, 20, 100, 619, 2000]
        rates = [0, 0.05, 0.8, 0.95, 1, 1 / 3, 0.07]
        needs = page.evaluate("([c, r]) => c.map(n => r.map(t => maths.needed(n, t)))", [counts, rates])
        for count, row in zip(counts, needs, strict=True):
            assert row == list(np.searchsorted(np.arange(count + 1) / count, rates))
        # PCHIP with flat, turning, steep and two-knot columns at every piece
        pchip = (
            "([k, v, x]) => { const p = new maths.Pchip(k, v.map(r => Float32Array.from(r)));"
            "return x.map(at => [...p.at(at, new Float64Array(v[0].length))]); }"
        )
        for knots in ([0.0, 0.5], [0.0, 0.1, 1.0], [-0.2, -0.1, 0.0, 0.05, 0.3, 2.0]):
            steps = rng.integers(-2, 3, size=(len(knots), 60)).astype(np.float32)
            places = list(np.linspace(knots[0], knots[-1], 23))
            got = page.evaluate(pchip, [knots, steps.tolist(), places])
            wanted = PchipInterpolator(knots, steps.astype(np.float64), axis=0)(places)
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)


# ---- dragging and letting go -----------------------------------------------------------------------------------------


def test_dragging_changes_the_page_and_sends_nothing_until_it_ends(browser: Any, server: str) -> None:
    sent: list[Any] = []
    with shown(browser, server, "plain") as page:
        context = page.context
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.webSocketFrameSent", lambda event: sent.append(event))
        page.wait_for_timeout(300)
        sent.clear()
        handle = page.get_by_role("slider", name="Threshold on the score")
        box = page.locator("canvas.wide").bounding_box()
        knob = handle.bounding_box()
        before = (probe(page, "state.threshold"), page.locator("[data-cell=fp] b").inner_text())
        page.mouse.move(knob["x"] + knob["width"] / 2, box["y"] + 120)
        page.mouse.down()
        for to in (0.6, 0.7, 0.75):
            page.mouse.move(box["x"] + box["width"] * to, box["y"] + 120)
        held = (probe(page, "state.threshold"), page.locator("[data-cell=fp] b").inner_text())
        assert held[0] > before[0]
        assert held[1] != before[1]
        assert (told(page)["runs"], sent) == (1, [])
        page.mouse.up()
        after = after_run(page, 1)
        assert after["threshold"] == held[0] == probe(page, "state.threshold")
        assert (after["chosen"], len(sent)) == ({"by": "tpr", "value": probe(page, "confusion.tp") / 2000}, 1)

        # a weight, with the mouse on the real slider: the TPR just chosen is held
        slider = page.get_by_role("slider", name="Weight of conv1", exact=True)
        track = slider.bounding_box()
        auroc = tile(page, "auroc")
        sent.clear()
        page.mouse.move(track["x"] + track["width"] * 0.125, track["y"] + track["height"] / 2)
        page.mouse.down()
        for to in (0.3, 0.5, 0.7):
            page.mouse.move(track["x"] + track["width"] * to, track["y"] + track["height"] / 2)
        alpha = probe(page, "state.alpha[0]")
        assert alpha > 0.3
        assert tile(page, "auroc") != auroc
        assert (told(page)["runs"], sent) == (2, [])
        page.mouse.up()
        final = after_run(page, 2)
        assert (final["alpha"][0], final["rule"]) == (alpha, "manual")
        assert final["labels"] == "by hand, starting from logistic: 500 ind + 500 ood images of mnist"
        assert final["threshold"] == probe(page, "state.threshold") != after["threshold"]
        assert probe(page, "confusion.tp") == round(after["chosen"]["value"] * 2000)


def test_the_point_on_roc_and_pr_is_the_same_operating_point(browser: Any, server: str) -> None:
    with shown(browser, server, "plain") as page:
        for index, place in ((0, (0.35, 0.3)), (1, (0.7, 0.35))):
            canvas = page.locator("canvas.square").nth(index)
            box = canvas.bounding_box()
            page.mouse.move(box["x"] + box["width"] * place[0], box["y"] + box["height"] * place[1])
            page.mouse.down()
            state = probe(page, "state")
            confusion = probe(page, "confusion")
            tpr = confusion["tp"] / 2000
            assert state["choice"]["tpr"] == tpr
            point = page.get_by_role("slider", name="Operating point on the ROC curve")
            assert float(point.get_attribute("aria-valuenow")) == pytest.approx(100 * tpr, abs=0.006)
            knobs = [h.bounding_box() for h in page.locator(".handle.point").all()]
            centres = [k["x"] + k["width"] / 2 for k in knobs]
            roc, pr = (c.bounding_box() for c in page.locator("canvas.square").all())
            at = lambda area, share: area["x"] + 50 + share * (area["width"] - 64)  # noqa: E731 (the plots' margins)
            assert centres[0] == pytest.approx(at(roc, confusion["fp"] / 1500), abs=0.6)
            assert centres[1] == pytest.approx(at(pr, tpr), abs=0.6)
            runs = told(page)["runs"]
            page.mouse.up()
            assert after_run(page, runs)["threshold"] == state["threshold"]


def test_holding_the_threshold_lets_the_tpr_move(browser: Any, server: str) -> None:
    with shown(browser, server, "plain") as page:
        page.get_by_label("Threshold on the score, as a number").fill("3.5")
        press(page, "Enter")
        after = after_run(page, 1)
        assert (after["threshold"], after["chosen"]) == (3.5, {"by": "hand", "value": 3.5})
        tp = probe(page, "confusion.tp")
        slide(page, "Weight of logits", 0.8)
        assert probe(page, "state.threshold") == 3.5
        assert probe(page, "confusion.tp") < tp
        page.get_by_role("button", name="TPR 80 %").click()
        assert after_run(page, 2)["chosen"] == {"by": "tpr", "value": 0.8}
        assert probe(page, "confusion.tp") == 1600


# ---- keyboard, undo, presets -----------------------------------------------------------------------------------------


def test_everything_works_from_the_keyboard(browser: Any, server: str) -> None:
    with shown(browser, server, "sets") as page:
        slider = page.get_by_role("slider", name="Weight of conv1", exact=True)
        slider.focus()
        press(page, "ArrowRight", 3)
        assert probe(page, "state.alpha[0]") == pytest.approx(-0.72)
        assert slider.get_attribute("aria-valuetext") == "-0.720"
        press(page, "PageUp")
        press(page, "Shift+ArrowLeft", 2)
        assert probe(page, "state.alpha[0]") == pytest.approx(-0.82)
        assert after_run(page, 1)["alpha"][0] == pytest.approx(-0.82)
        assert told(page)["runs"] == 2  # all those keys together are one release

        threshold = page.get_by_role("slider", name="Threshold on the score")
        threshold.focus()
        low, high, now = (float(threshold.get_attribute(f"aria-value{what}")) for what in ("min", "max", "now"))
        assert low < now < high
        press(page, "ArrowRight", 2)
        assert probe(page, "state.threshold") > now
        assert re.fullmatch(r"threshold [\d.]+: TPR [\d.]+ %, FPR [\d.]+ %", threshold.get_attribute("aria-valuetext"))

        point = page.get_by_role("slider", name="Operating point on the ROC curve")
        point.focus()
        tp = probe(page, "confusion.tp")
        press(page, "ArrowUp")
        assert probe(page, "confusion.tp") == tp + 10  # half a percent of 2,000
        press(page, "End")
        assert probe(page, "confusion.tp") == 2000
        press(page, "Home")
        assert probe(page, "confusion") == {"tp": 0, "fn": 2000, "fp": 0, "tn": 1500}

        epsilon = page.get_by_role("slider", name="Epsilon, the size of the perturbation in pixels")
        epsilon.focus()
        press(page, "PageUp", 2)
        assert probe(page, "state.epsilon") == 0.006
        press(page, "ArrowRight")
        assert probe(page, "state.epsilon") == pytest.approx(0.006 + 0.05 * 0.014)
        focus = "document.activeElement.shadowRoot.activeElement.matches(':focus-visible')"
        assert page.evaluate(focus)


def test_undo_and_redo_go_through_what_was_let_go(browser: Any, server: str) -> None:
    with shown(browser, server, "plain") as page:
        undo, redo = (page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Redo"))
        assert undo.is_disabled()
        start = probe(page, "state")
        page.get_by_role("button", name="uniform").click()
        assert after_run(page, 1)["rule"] == "uniform"
        assert page.get_by_role("button", name="uniform").get_attribute("aria-pressed") == "true"
        page.get_by_role("button", name="Flip the sign of the weight of fc1").click()
        assert after_run(page, 2)["alpha"] == [1, 1, -1, 1]
        page.keyboard.press("Control+z")
        assert after_run(page, 3)["alpha"] == [1, 1, 1, 1]
        undo.click()
        assert after_run(page, 4)["alpha"] == start["alpha"]
        assert probe(page, "state") == start
        assert undo.is_disabled()
        page.keyboard.press("Control+Shift+z")
        redo.click()
        assert probe(page, "state.alpha") == [1, 1, -1, 1]
        assert redo.is_disabled()


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_inverted_and_uninformative_layers_raise_an_alarm(browser: Any, server: str) -> None:
    with shown(browser, server, "odd") as page:
        badges = [badge.inner_text() for badge in page.locator(".layer .badge").all()]
        assert badges == ["inverted", "inverted", "", "uninformative"]
        assert page.locator(".layer .badge.fixed").count() == 2  # logistic has flipped both
        page.get_by_role("button", name="uniform").click()
        assert page.locator(".layer .badge.fixed").count() == 0
        words = page.locator(".cockpit").inner_text()
        assert "either uses the labels of mnist, and another ood set may lie the other way round" in words


def test_an_inverted_layer_is_flipped_or_dropped_with_one_press_and_undone(browser: Any, server: str) -> None:
    with shown(browser, server, "plain") as page:
        page.get_by_role("button", name="uniform").click()
        alpha = after_run(page, 1)["alpha"]
        assert alpha == [1, 1, 1, 1]
        singles = probe(page, "layerAurocs")
        inverted = [layer for layer, auroc in zip(harness.LAYERS, singles, strict=True) if auroc < 0.5 - 0.05]
        assert inverted == ["conv1", "conv2"]  # as drawn
        offered = page.get_by_role("button", name=re.compile("^(Flip|Drop) [a-z0-9]+:"))
        assert [b.inner_text() for b in offered.all()] == ["flip", "drop"] * 2
        before = probe(page, "metrics.auroc")
        flip = page.get_by_role("button", name="Flip conv1:")
        flip.click()
        assert after_run(page, 2)["alpha"] == [-1, 1, 1, 1]
        assert flip.get_attribute("aria-pressed") == "true"
        assert probe(page, "metrics.auroc") > before
        drop = page.get_by_role("button", name="Drop conv2:")
        drop.focus()
        page.keyboard.press("Enter")
        assert after_run(page, 3)["alpha"] == [-1, 0, 1, 1]
        page.keyboard.press("Control+z")
        assert after_run(page, 4)["alpha"] == [-1, 1, 1, 1]
        page.keyboard.press("Control+z")
        assert after_run(page, 5)["alpha"] == [1, 1, 1, 1]
        assert flip.get_attribute("aria-pressed") == "false"
        assert probe(page, "metrics.auroc") == before
        page.get_by_label("Weight of conv2, as a number").fill("0.4")
        press(page, "Enter")
        page.get_by_role("button", name="Drop conv2:").click()
        page.get_by_role("button", name="Flip conv2:").click()  # what was dropped comes back turned, of its own size
        page.wait_for_function("window.__fssdCockpit.harness.state.alpha[1] === -0.4")


def test_nothing_breaks_where_there_is_nothing_to_rank(browser: Any, server: str) -> None:
    with shown(browser, server, "odd") as page:
        notice = page.locator(".notice")
        assert "3 of 1,500 mnist images have a score that is not a finite number" in notice.inner_text()
        for layer in harness.LAYERS:
            page.get_by_label(f"Set the weight of {layer} to 0").click()
        assert "All weights are 0" in notice.inner_text()
        assert tile(page, "auroc") == "0.5000"
        page.get_by_label("Weight of logits, as a number").fill("0.5")
        press(page, "Enter")
        assert "Every image has the same score" in notice.inner_text()
        page.get_by_label("empty", exact=True).check()
        assert "There are no empty images to test on" in notice.inner_text()
        assert tile(page, "auroc") == "–"
        page.get_by_label("mnist", exact=True).check()
        page.get_by_role("button", name="logistic").click()
        assert float(tile(page, "auroc")) > 0.9


def test_labels_behind_alpha_stand_beside_the_numbers(browser: Any, server: str) -> None:
    with shown(browser, server, "sets") as page:
        line = page.locator(".labels")
        assert line.inner_text() == (
            "α: logistic, labels: 500 ind + 500 ood images of mnist. Tested on 2,000 fmnist:test and 1,500 mnist "
            "images, none of which chose α."
        )
        assert [row.inner_text() for row in page.locator(".sets small").all()] == ["its labels chose α", "", "", ""]
        page.get_by_role("button", name="uniform").click()
        assert line.inner_text().startswith("α: uniform, no labels.")
        assert [row.inner_text() for row in page.locator(".sets small").all()] == ["", "", "", ""]


def test_zoom_stays_while_numbers_change(browser: Any, server: str) -> None:
    with shown(browser, server, "sets") as page:
        zoom = page.get_by_role("button", name="Zoom to corner")
        knob = page.locator(".handle.point").first
        area = page.locator("canvas.square").first.bounding_box()

        def drawn_at() -> float:
            box = knob.bounding_box()
            return (box["x"] + box["width"] / 2 - area["x"] - 50) / (area["width"] - 64)  # the plot's margins

        fpr = probe(page, "confusion.fp") / 1500
        assert drawn_at() == pytest.approx(fpr, abs=0.005)
        zoom.click()
        probe(page, "updates")
        side = fpr / drawn_at()
        assert side == pytest.approx(0.5, abs=0.01)
        slide(page, "Weight of conv1", -0.6)
        page.get_by_label("photo-patches").check()
        after_run(page, 1)
        assert zoom.get_attribute("aria-pressed") == "true"
        assert drawn_at() == pytest.approx(probe(page, "confusion.fp") / 1200 / side, abs=0.01)
        assert "Zoomed to the upper left corner" in page.locator(".pair").inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(344, "light"), (390, "dark"), (1440, "dark")])
def test_it_fits_the_page_and_its_theme(browser: Any, server: str, width: int, scheme: str) -> None:
    with shown(browser, server, "sets", width=width, color_scheme=scheme) as page:
        assert page.locator(".cockpit").get_attribute("data-mode") == scheme
        beyond = page.locator(".cockpit").evaluate(
            "root => { const edge = root.getBoundingClientRect().right + 1;"
            "return [...root.querySelectorAll('.body *')].filter(e => e.getBoundingClientRect().right > edge)"
            ".map(e => e.className || e.tagName); }"
        )
        assert beyond == []
        other = {"light": "dark", "dark": "light"}[scheme]
        page.emulate_media(color_scheme=other)
        page.locator(f".cockpit[data-mode={other}]").wait_for()


def test_server_and_page_agree_on_the_threshold_before_anything_is_let_go(browser: Any, server: str) -> None:
    ind, _, _ = harness.case("sets")
    with shown(browser, server, "sets") as page:
        assert told(page)["threshold"] == probe(page, "state.threshold")
        assert columns_at(pack("ind", ind), 0.013) == pytest.approx(columns(ind, 0.013), abs=0)


# ---- the threshold by rule -------------------------------------------------------------------------------------------


def by_rule(page: Any, name: str, **fields: float) -> None:
    """Presses a rule and types its numbers, by their labels' beginnings; nothing is let go of the last one."""
    group = page.get_by_role("group", name="Rule that chooses the threshold")
    group.get_by_role("button", name=name, exact=True).click()
    for label, value in fields.items():
        page.get_by_role("spinbutton", name=label.replace("_", " ")).fill(str(value))


@pytest.mark.parametrize("case", ["plain", "ties"])
def test_page_and_core_choose_the_same_threshold_by_every_rule(browser: Any, server: str, case: str) -> None:
    ind, oods, layers = harness.case(case)
    ood = next(iter(oods.values()))
    alpha = harness.presets(layers)["logistic"].normalised().alpha
    a, b = combined(columns(ind), alpha), combined(columns(ood), alpha)
    with shown(browser, server, case) as page:
        trials = [
            ("FPR", {"False positive rate": 3}, Choice("fpr", fpr=0.03)),
            ("FPR", {"False positive rate": 0}, Choice("fpr", fpr=0.0)),
            ("costs", {"Cost of a miss": 25, "Cost of a false alarm": 2}, Choice("cost", miss=25, alarm=2)),
            ("costs", {"Expected share of ood": 40}, Choice("cost", miss=25, alarm=2, prevalence=0.4)),
            (
                "alarms a day",
                {"False alarms a day": 50, "Images a day": 2000},
                Choice("alarms", alarms=50, images=2000, prevalence=0.4),
            ),
            ("alarms a day", {"False alarms a day": 0}, Choice("alarms", alarms=0, images=2000, prevalence=0.4)),
        ]
        for name, fields, choice in trials:
            by_rule(page, name, **fields)
            wanted = choose_threshold(a, b, choice)
            confusion, told_by_page = probe(page, "confusion"), probe(page, "outlook")
            if np.isfinite(wanted):
                assert probe(page, "state.threshold") == wanted, choice
            tp, fp = int((a >= wanted).sum()), int((b >= wanted).sum())
            assert (confusion["tp"], confusion["fp"]) == (tp, fp), choice
            seen = outlook(tp / len(a), fp / len(b), choice)
            assert told_by_page["oodAmongAccepted"] == pytest.approx(seen.ood_among_accepted, rel=1e-12)
            assert told_by_page["falseAlarms"] == pytest.approx(seen.false_alarms, rel=1e-12)
            words = page.locator("[data-words=prevalence]").inner_text()
            assert f"At a prevalence of {100 * choice.prevalence:g} % ood" in words
        press(page, "Tab")
        page.wait_for_function(
            "document.querySelector('[data-testid=stCode] code').innerText.includes('\"value\": 0,')"
        )
        after = told(page)
        assert after["chosen"] == {"by": "alarms", "value": 0, "images": 2000, "prevalence": 0.4}
        assert after["threshold"] == probe(page, "state.threshold")


def test_the_rule_follows_while_alpha_is_dragged_and_a_dragged_threshold_ends_a_budget(
    browser: Any, server: str
) -> None:
    ind, oods, _layers = harness.case("plain")
    ood = oods["mnist"]
    with shown(browser, server, "plain") as page:
        by_rule(page, "costs")
        choice = Choice("cost")
        for value in (-0.4, 0.1, 0.6):
            slide(page, "Weight of conv1", value)
            alpha = probe(page, "state.alpha")
            wanted = choose_threshold(combined(columns(ind), alpha), combined(columns(ood), alpha), choice)
            assert probe(page, "state.threshold") == wanted
        page.get_by_role("slider", name="Threshold on the score").focus()
        press(page, "ArrowRight")
        assert probe(page, "state.choice.by") == "hand"
        page.get_by_label("the least cost").check()
        assert probe(page, "state.threshold") == wanted
        slider = page.get_by_role("slider", name="Cost of a miss: an ood image accepted, as a slider")
        before = probe(page, "confusion.fp")
        slider.evaluate("e => { e.value = 1; e.dispatchEvent(new Event('input', { bubbles: true })); }")
        assert probe(page, "state.choice.miss") == 1000
        assert probe(page, "confusion.fp") < before


def test_precision_can_stand_at_the_expected_share_of_ood(browser: Any, server: str) -> None:
    ind, oods, layers = harness.case("plain")
    alpha = harness.presets(layers)["logistic"].normalised().alpha
    a, b = combined(columns(ind), alpha), combined(columns(oods["mnist"]), alpha)
    with shown(browser, server, "plain") as page:
        page.get_by_role("button", name="at 5 % ood").click()
        title = page.locator("section[aria-label='precision-recall curve'] h3")
        probe(page, "updates")
        assert title.inner_text() == f"PR · AUPR-IN {aupr(a, b, prevalence=0.95):.4f}"
        page.get_by_role("button", name="ood positive").click()
        probe(page, "updates")
        assert title.inner_text() == f"PR · AUPR-OUT {aupr(a, b, positive='ood', prevalence=0.05):.4f}"


# ---- examples and intervals ------------------------------------------------------------------------------------------


def thumbs(page: Any, side: str) -> list[tuple[int, float, str]]:
    """(row, score, verdict) of the shown images, from left to right."""
    found = page.locator(f".thumbs.{side} button").all()
    labels = [(b.bounding_box()["x"], b.get_attribute("aria-label"), b.get_attribute("class")) for b in found]
    out = []
    for _, label, kind in sorted(labels):
        row, score, verdict = re.search(r"row (\d+): score ([-\d.]+), (\w+)", label).groups()
        assert verdict in kind.split()
        out.append((int(row), float(score), verdict))
    return out


@pytest.mark.parametrize("width", [390, 1440])
def test_examples_stand_at_their_scores_borderline_first_and_follow_the_drag(
    browser: Any, server: str, width: int
) -> None:
    ind, oods, layers = harness.case("plain")
    alpha = harness.presets(layers)["logistic"].normalised().alpha
    with shown(browser, server, "plain", width=width) as page:
        page.locator("button.thumb").first.wait_for()
        threshold = probe(page, "state.threshold")
        for side, scores in (("ind", ind), ("ood", oods["mnist"])):
            exact = combined(columns(scores), alpha)
            seen = thumbs(page, side)
            assert len(seen) >= 6
            for row, score, verdict in seen:
                assert score == pytest.approx(exact[(row - 3) // 7], abs=1e-3)
                assert verdict == ("accepted" if exact[(row - 3) // 7] >= threshold else "rejected")
            assert [s for _, s, _ in seen] == sorted(s for _, s, _ in seen)
            assert {v for _, _, v in seen} == {"accepted", "rejected"}, "borderline cases on both sides"
        before = thumbs(page, "ind")
        slide(page, "Weight of logits", -0.5)
        probe(page, "updates")
        moved = thumbs(page, "ind")
        assert {row for row, _, _ in moved} == {row for row, _, _ in before}, "the same images while the hand moves"
        now = probe(page, "state.alpha")
        exact, threshold = combined(columns(ind), now), probe(page, "state.threshold")
        for row, score, verdict in moved:
            assert score == pytest.approx(exact[(row - 3) // 7], abs=1e-3)
            assert verdict == ("accepted" if exact[(row - 3) // 7] >= threshold else "rejected")
        assert told(page)["runs"] == 1


def test_an_example_is_inspected_with_the_keyboard_and_its_link_followed(browser: Any, server: str) -> None:
    with shown(browser, server, "plain") as page:
        page.locator("button.thumb").first.wait_for()
        button = page.locator(".thumbs.ood button").nth(2)
        row = thumbs(page, "ood")[2][0]
        button.focus()
        press(page, "Enter")
        assert after_run(page, 1)["inspect"] == ["data/mnist", row]
        assert button.get_attribute("aria-pressed") == "true"
        link = page.get_by_role("link", name="Inspect this image")
        assert link.get_attribute("href") == f"inspect?set=data%2Fmnist&row={row}"
        link.click()
        assert after_run(page, 2)["opened"] == ["data/mnist", row]


def test_kept_examples_stay_after_a_release(browser: Any, server: str) -> None:
    with shown(browser, server, "plain") as page:
        page.locator("button.thumb").first.wait_for()
        page.get_by_label("keep these when I let go").check()
        before = {row for row, _, _ in thumbs(page, "ind")}
        page.get_by_role("button", name="uniform").click()
        after_run(page, 1)
        assert {row for row, _, _ in thumbs(page, "ind")} == before
        page.get_by_label("keep these when I let go").uncheck()
        probe(page, "updates")
        assert {row for row, _, _ in thumbs(page, "ind")} != before


def test_intervals_stand_beside_the_numbers_they_are_of_and_go_while_these_move(browser: Any, server: str) -> None:
    ind, oods, layers = harness.case("plain")
    known = "[data-words=intervals]"
    with shown(browser, server, "plain") as page:
        alpha = harness.presets(layers)["logistic"].normalised().alpha
        a, b = combined(columns(ind), alpha), combined(columns(oods["mnist"]), alpha)
        found = rate_intervals(
            a, b, probe(page, "state.threshold"), Choice(), samples=500, generator=np.random.default_rng(0)
        )
        low, high = found.fixed["tpr"]
        words = page.locator(known).inner_text()
        assert f"TPR {100 * low:.1f} to {100 * high:.1f} %" in words
        low, high = found.rechosen["fpr"]
        assert "chosen anew by the same rule on each draw" in words
        assert f"FPR {100 * low:.1f} to {100 * high:.1f} %." in words
        slide(page, "Weight of conv1", 0.2)
        probe(page, "updates")
        assert page.locator(known).inner_text() == ""
        page.get_by_role("button", name="TPR 80 %").click()
        after_run(page, 1)
        page.locator(known).filter(has_text="TPR 7").wait_for()


# ---- pins ------------------------------------------------------------------------------------------------------------


def test_pins_are_compared_in_the_page_and_by_the_server_on_the_same_images(browser: Any, server: str) -> None:
    ind, oods, layers = harness.case("plain")
    alphas = {name: w.normalised().alpha for name, w in harness.presets(layers).items()}
    sides = {n: (combined(columns(ind), a), combined(columns(oods["mnist"]), a)) for n, a in alphas.items()}
    with shown(browser, server, "plain") as page:
        pin = page.get_by_role("button", name="Pin this setting")
        pin.click()
        page.get_by_label("Name of pin 1").wait_for()
        assert page.get_by_label("Name of pin 1").input_value() == "logistic"
        cells = {k: page.locator(f"[data-pin='0'][data-number={k}]") for k in ("auroc", "fpr95", "auprIn")}
        cells["auroc"].filter(has_text="±0.0000 [±0.0000, ±0.0000]: not decided").wait_for()
        runs = told(page)["runs"]
        page.get_by_role("button", name="uniform").click()
        after_run(page, runs)
        cells["auroc"].filter(has_text="−").wait_for()
        wanted = expected(*sides["logistic"])
        assert {k: probe(page, "pins[0]")[k] for k in wanted} == pytest.approx(wanted, abs=1e-12)
        found = paired_differences(
            sides["uniform"],
            sides["logistic"],
            names=["auroc", "fpr95", "aupr_in"],
            samples=300,
            generator=np.random.default_rng(0),
        )["auroc"]
        signed = lambda v: f"{'+' if v > 0 else '−'}{abs(v):.4f}"  # noqa: E731
        text = f"{signed(found.value)} [{signed(found.low)}, {signed(found.high)}]"
        assert cells["auroc"].locator("small").inner_text() == text
        assert found.decided
        slide(page, "Weight of conv1", 0.3)
        probe(page, "updates")
        assert cells["auroc"].locator("small").inner_text() == "", "an interval of another setting is not shown"

        name = page.get_by_label("Name of pin 1")
        name.fill("the start")
        press(page, "Enter")
        page.get_by_role("button", name="Unpin the start").wait_for()
        page.get_by_role("button", name="Go to").click()
        assert probe(page, "state.alpha") == pytest.approx(alphas["logistic"], abs=0)
        page.get_by_role("button", name="Unpin the start").click()
        page.get_by_text("Nothing is pinned").wait_for()


def test_at_most_four_settings_are_pinned(browser: Any, server: str) -> None:
    with shown(browser, server, "sets", width=390) as page:
        pin = page.get_by_role("button", name="Pin this setting")
        for number in range(1, 5):
            pin.click()
            page.get_by_label(f"Name of pin {number}").wait_for()
        names = [page.get_by_label(f"Name of pin {n}").input_value() for n in range(1, 5)]
        assert names == ["logistic", "logistic (2)", "logistic (3)", "logistic (4)"]
        assert pin.get_attribute("aria-disabled") == "true"
        beyond = page.locator(".cockpit").evaluate("e => e.scrollWidth - e.clientWidth")
        assert beyond <= 0
        page.get_by_label("all together").check()
        ind, oods, layers = harness.case("sets")
        alpha = harness.presets(layers)["logistic"].normalised().alpha
        pooled = np.concatenate([combined(columns(ood), alpha) for ood in oods.values()])
        wanted = expected(combined(columns(ind), alpha), pooled)
        assert probe(page, "pins[3]")["auroc"] == pytest.approx(wanted["auroc"], abs=1e-12)
