"""The lesson's steps: a question about the real app, answers to choose from, and how the data decide between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.lesson_facts import Facts, nearest

Measured = tuple[int | None, str]  # number of the choice that the data bear out (None: open), and what was measured
LAST = -1  # as a state of the checkpoint: the last one


@dataclass(frozen=True)
class Step:
    """One state of the app with its question.

    Attributes:
        title: heading.
        page: view that opens ('features' for app/views/features.py).
        question: what to predict, as Markdown.
        choices: answers to choose from.
        measured: from the demo's numbers to the answer; computed when the step is shown.
        why: the explanation, after looking.
        look: what to look at in the page below.
        state: values of widgets by their key.
        query: further query parameters of the page.
        latex: a formula, or nothing.
    """

    title: str
    page: str
    question: str
    choices: tuple[str, ...]
    measured: Callable[[Facts], Measured]
    why: str
    look: str
    state: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    latex: str = ""


def _noise(f: Facts) -> Measured:
    ratio = f.ratio("noise")
    return nearest(ratio, (0.5, 0.9)), (
        f"The 100 noise images lie at {ratio:.2f} of the distance of the median clothing image from their own mean."
    )


def _patches(f: Facts) -> Measured:
    ratio = f.ratio("photo-patches")
    return nearest(ratio, (0.8, 1.25)), (
        f"Photo patches lie at {ratio:.2f} of the ind median; distance alone tells them apart with AUROC "
        f"{f.auroc('photo-patches'):.3f}."
    )


def _untrained(f: Facts) -> Measured:
    untrained, trained = (f.auroc("photo-patches", step=step) for step in (0, None))
    return nearest(untrained, (0.65, 0.9)), (
        f"AUROC of the untrained network: {untrained:.3f} in the logits (trained: {trained:.3f}), "
        f"but {f.auroc('photo-patches', layer='conv1', step=0):.3f} in conv1: there the pixels' statistics alone separate."
    )


def _when(f: Facts) -> Measured:
    step, last = f.settled("photo-patches"), f.series.steps[-1]
    return nearest(step, (400, last // 2)), (
        f"By step {step:,} of {last:,}, 80 % of the whole fall has happened: from {f.ratio('photo-patches', step=0):.2f} "
        f"to {f.ratio('photo-patches', step=step):.2f}, and to {f.ratio('photo-patches'):.2f} in the end."
    )


def _absolute(f: Facts) -> Measured:
    patches = f.distance("photo-patches") / f.distance("photo-patches", step=0)
    clothes = f.distance("") / f.distance("", step=0)
    return nearest(patches, (0.9, 1.1)), (
        f"From step 0 to the end the mean distance of the patches becomes {patches:.1f} times, that of the clothes "
        f"{clothes:.1f} times what it was."
    )


def _digits(f: Facts) -> Measured:
    ratio = f.ratio("mnist")
    layers = ", ".join(f"{f.auroc('mnist', layer=layer):.2f}" for layer in f.series.layers)
    return nearest(ratio, (0.9, 1.1)), (
        f"Digits lie at {ratio:.2f} of the ind median. AUROC layer by layer ({', '.join(f.series.layers)}): {layers}; "
        "below 0.5 the order is inverted."
    )


def _speed(f: Facts) -> Measured:
    patches, digits = f.speed("photo-patches"), f.speed("mnist")
    fastest = max((1.0, 0), (patches, 1), (digits, 2))[1]
    return fastest, (
        f"From step 10 to 900, in the logits, a photo patch moves {patches:.2f} times and a digit {digits:.2f} times as far as "
        "a clothing image. So the explanation fits the patches, and where digits move as fast as clothes or faster it "
        "does not concentrate them."
    )


def _repair(f: Facts) -> Measured:
    plain, fitted = f.detector("uniform", on="mnist"), f.detector("logistic", on="mnist")
    return nearest(fitted.auroc, (0.7, 0.95)), (
        f"The plain sum of the layers has AUROC {plain.auroc:.3f}; the weights fitted on 500 clothes and 500 labelled digits "
        f"{fitted.auroc:.3f}, on images they were not fitted on."
    )


def _transfer(f: Facts) -> Measured:
    there = f.detector("logistic", on="photo-patches", fitted_on="mnist").auroc
    plain = f.detector("uniform", on="photo-patches").auroc
    return nearest(there, (0.6, plain - 0.02)), (
        f"AUROC on photo patches: {there:.3f} with the weights fitted on digits, {plain:.3f} with the plain sum."
    )


def _threshold(f: Facts) -> Measured:
    passed = {ref: f.detector("uniform", on=ref).fpr95 for ref in f.study.ood}
    words = ", ".join(f"{share:.1%} of {ref}" for ref, share in passed.items())
    return nearest(passed["fmnist-inverted"], (0.05, 0.3)), f"Accepted where 95 % of the clothes are: {words}."


STEPS: tuple[Step, ...] = (
    Step(
        "What does a network make of pure noise?",
        "features",
        "This small network learned to tell ten kinds of clothes apart. We show it 100 images of **pure noise**: every pixel "
        "drawn at random. In the space of its ten outputs, the *logits*, how far from one another will these 100 lie, "
        "compared with the spread of clothes?",
        ("Close together", "About as far as clothes", "Farther apart than clothes"),
        _noise,
        "The network has nothing to say about noise, and it says so each time alike. The mean feature of noise is called the "
        "**feature space singularity F\\***: one point a layer, found without any data.",
        "The gold star is F\\*, the grey dots are the 100 noise images. Distance from the star is the *true* distance.",
        {"view": "centred-spokes", "step": LAST},
        latex=r"F^*_k = \frac{1}{S}\sum_{s=1}^{S} F_k(x_s), \qquad x_s \sim U[0,1]",
    ),
    Step(
        "Where will a photograph lie?",
        "features",
        "Now small patches of two **photographs**: real images, but nothing like what the network was trained for. "
        "Compared with the median clothing image, their distance to F\\* will be …",
        ("smaller", "about the same", "larger"),
        _patches,
        "Training pushes the features of *what was learned* away from F\\*. What shares nothing with it is moved little. So "
        "the distance to F\\* is a score: large for in-distribution, small for out-of-distribution. That is FSSD.",
        "Only photo patches are chosen as ood now. Compare their hump with the clothes' on the right.",
        {"view": "centred-spokes", "step": LAST, "ood": ["photo-patches"]},
        latex=r"\mathrm{FSSD}_k(x) = \lVert F_k(x) - F^*_k \rVert_2",
    ),
    Step(
        "Was it like that before training?",
        "features",
        "Step 0 is the same network with **random weights**. In the logits, how well does the distance to F\\* tell "
        "clothes from photo patches there? (AUROC: 0.5 is a coin, 1 is perfect.)",
        ("AUROC below 0.65: hardly", "0.65 to 0.9: somewhat", "above 0.9: nearly as well as trained"),
        _untrained,
        "An untrained network is the baseline of every claim about training. Some sets differ from clothes in brightness and "
        "contrast alone, and early layers show that without having learned anything.",
        "The same picture at step 0. Choose `conv1` under Layer to see the baseline that is there for free.",
        {"view": "centred-spokes", "step": 0, "ood": ["photo-patches"]},
    ),
    Step(
        "When does it happen?",
        "film",
        "The film shows the network at its checkpoints, from step 0 to the end of training. **When** do the photo patches fall "
        "behind the clothes?",
        ("Within the first 400 steps", "Slowly, over the first half", "Mostly in the second half"),
        _when,
        "Features move fastest while the loss is large. The separation is a matter of the first few hundred steps; the rest of "
        "training sharpens the classes.",
        "Press play, then drag the time to the steps where the patches fall behind.",
        {},
    ),
    Step(
        "Do they really move toward F*?",
        "film",
        "“Features *concentrate* toward the singularity.” Measured with a fixed ruler instead of in units of the clothes: from "
        "step 0 to the end, the distance of photo patches to F\\* …",
        ("shrinks", "stays about the same", "grows"),
        _absolute,
        "Concentration is *relative*. Every group moves outward while the network learns; what is out-of-distribution lags "
        "behind. A drawing in units of the ind median hides that, which is why this page offers both rulers.",
        "Switch the radius between *÷ ind median* and *absolute* while the film runs.",
        {},
        {"film_radius": "absolute"},
    ),
    Step(
        "Digits: a set that looks harmless",
        "features",
        "**MNIST digits** are simpler than clothes: white strokes on black. Compared with the median clothing image, their distance "
        "to F\\* in the logits will be …",
        ("smaller, like the photographs", "about the same", "larger"),
        _digits,
        "Being unfamiliar is not enough. Strokes drive the filters hard, and their features run far out, in the early layers most of "
        "all. This pair, the first benchmark of the paper, is a counter-example to the plain sum of distances.",
        "The badge beside mnist says it. Go through the layers and watch the digits' hump.",
        {"view": "centred-spokes", "step": LAST, "ood": ["photo-patches", "mnist"]},
    ),
    Step(
        "Why would learned images move more?",
        "speed",
        "The paper's explanation: in a step of training, the feature of an image moves as far as the image *resembles* the training "
        "images, as the network sees them. Which moves farthest in the first 900 steps?",
        ("A clothing image", "A photo patch", "A digit"),
        _speed,
        "The sum runs over the training images. The product of the two derivatives is a kernel: it says how alike the network "
        "takes *x* and *x_m* to be. An image that resembles none of them stays where it is.",
        "The exact term of the formula stands beside the movement measured between checkpoints, and a control with random "
        "directions: where the control shows the same order, the kernel is not what explains it.",
        {},
        latex=r"\frac{dF(x)}{dt} = -\sum_m \frac{\partial F(x)}{\partial\theta}\,"
        r"\frac{\partial F(x_m)}{\partial\theta}^{\!\top} \frac{\partial L_m}{\partial F}",
    ),
    Step(
        "Can weights repair the digits?",
        "tuning",
        "The score adds up the layers' distances, each with its weight α. The paper fits α with **labelled ood images** of the very "
        "set that it tests on. Fitted so on digits, the AUROC on other digits will be …",
        ("below 0.7", "0.7 to 0.95", "above 0.95"),
        _repair,
        "Where digits lie *farther* from F\\*, a **negative** weight turns the layer round. That is why every slider here goes below "
        "zero; with weights from 0 to 1 the paper's own number could not be reached.",
        "The preset *logistic on mnist* is set. Move a slider: every curve follows while you drag.",
        {"ood": ["mnist", "photo-patches", "fmnist-inverted"]},
        {"alpha": "logistic on mnist"},
        latex=r"\mathrm{FSSD}(x) = \sum_k \alpha_k\,\lVert F_k(x) - F^*_k\rVert_2",
    ),
    Step(
        "Do these weights hold elsewhere?",
        "tuning",
        "Tomorrow nobody sends digits. With the α that was fitted on digits, how well are **photo patches** found?",
        (
            "They are hardly found: AUROC below 0.6",
            "Found, but worse than by the plain sum",
            "As well as by the plain sum",
        ),
        _transfer,
        "Weights fitted with labels of one ood set know that set. In production the next ood set is unknown, so a number "
        "obtained with labels of the tested set is a promise nobody keeps. Always read *labels used* beside it.",
        "Choose photo-patches in the cockpit, and open the matrix *weights fitted on A, tested on B* below.",
        {"ood": ["photo-patches", "mnist", "fmnist-inverted"]},
        {"alpha": "logistic on mnist"},
    ),
    Step(
        "Choose a threshold",
        "tuning",
        "A detector must decide. With the plain sum, let 95 % of the clothes pass. How many **inverted** clothes, black and white "
        "exchanged, pass with them?",
        ("Fewer than 5 %", "5 to 30 %", "More than 30 %"),
        _threshold,
        "One threshold, two prices: a threshold that is mild on one ood set may let the other in. The price depends on *which* ood comes, so "
        "choose by costs, by a budget of alarms, or by the rate of lost ind images, and say which.",
        "Drag the threshold on the histogram: the point on ROC and PR is the same operating point.",
        {"ood": ["fmnist-inverted", "photo-patches", "mnist"]},
        {"alpha": "uniform"},
    ),
    Step(
        "Your turn: fool it",
        "inspect",
        "Draw something on the pad below. Will the detector take it for clothes? Predict before you draw.",
        ("It is accepted as in-distribution", "It is rejected as out-of-distribution"),
        lambda f: (None, "Only your drawing can tell: the verdict stands beside it."),
        "The page shows which layers decided, where your drawing lies among the clothes, and which of them it resembles most.",
        "Draw strokes, then a filled shirt; change the threshold on the Tuning page and come back.",
        {"source": "Draw"},
    ),
)
