"""The one-page report of what the Tuning page shows: the same images, alpha, epsilon and threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.components.cockpit import Setting
from app.names import title_of
from app.tuning_scores import Sweep, distances_at
from fssd_core.bundle import steady_threshold
from fssd_core.cli_common import now
from fssd_core.cli_report import reproduce
from fssd_core.ensemble import combine
from fssd_core.operating_point import Choice, in_words
from fssd_core.report import Chosen, Side, make_report
from fssd_core.report_html import report_html
from fssd_core.store import Store
from fssd_core.study import Study, compare, open_data, stored_sweep
from fssd_core.types import LayerScores, Weights

BY_HAND = "set by hand while looking at the ood sets"


def report_bytes(
    study: Study,
    setting: Setting,
    sweeps: Mapping[str, Sweep],
    *,
    also: Mapping[str, Weights],
    store: Store,
    root: Path | None,
) -> bytes:
    """The page as UTF-8.

    Args:
        study: what was tuned; its ood sets are those of the report.
        setting: where the cockpit stands.
        sweeps: {data reference: {epsilon: (N, K) distances}} of ind and every ood set.
        also: further weights for the matrix of transferred weights.
        store: where exact distances may lie.
        root: the operator's folder of data.
    """
    tables, notes = _tables(study, setting.epsilon, sweeps, store, root)
    fitting = {title_of(ref): compare(study, title_of(ref), tables[study.ind], tables[ref]) for ref in study.ood}
    first = next(iter(fitting.values()))
    tested = {study.ind: first.split.test_ind}
    tested |= {ref: c.split.test_ood for ref, c in zip(study.ood, fitting.values(), strict=True)}
    sides = []
    for ref, at in tested.items():
        images = open_data(study, ref, root=root)
        sides.append(Side(title_of(ref), tables[ref].take(at), images.images[at], images.rows[at]))
        notes += [f"{title_of(ref)}: {note}" for note in images.notes]
    threshold = steady_threshold(setting.threshold, *(combine(table, setting.weights) for table in tables.values()))
    chosen = _chosen(study, setting, len(tested[study.ind]))
    report = make_report(
        study,
        setting.weights,
        epsilon=setting.epsilon,
        threshold=threshold,
        chosen=chosen,
        ind=sides[0],
        oods=sides[1:],
        fitting=fitting,
        also=also,
        model_name=name_of(study),
        command=_command(study, setting, threshold, chosen),
        date=now(),
        notes=notes,
    )
    return report_html(report).encode()


def name_of(study: Study) -> str:
    """'demo/lenet@900', or a weight file's name without the server's folders."""
    if Path(study.model).exists():
        return Path(study.model).name
    return study.model if study.step is None else f"{study.model}@{study.step}"


def _tables(
    study: Study, epsilon: float, sweeps: Mapping[str, Sweep], store: Store, root: Path | None
) -> tuple[dict[str, LayerScores], list[str]]:
    """(whole sets at that epsilon, what must be said of them): exact ones where every set has them."""
    exact = {ref: stored_sweep(study, ref, [epsilon], store=store, root=root).get(epsilon) for ref in sweeps}
    found = {ref: scores for ref, scores in exact.items() if scores is not None}
    if len(found) == len(sweeps):
        return found, []
    told = (
        f"Distances at epsilon {epsilon:.6g} are interpolated between those computed; they err by under 1 % as a rule."
    )
    between = {ref: distances_at(sweep, epsilon) for ref, sweep in sweeps.items()}
    return between, [] if all(epsilon in sweep for sweep in sweeps.values()) else [told]


def _chosen(study: Study, setting: Setting, count: int) -> Chosen:
    choice, ind = setting.choice, title_of(study.ind)
    ood = setting.ood or "all ood sets together"
    labels = "none" if choice.by in ("tpr", "alarms") else BY_HAND
    words = in_words(choice, setting.threshold)
    if choice.uses_ood:
        labels = f"the held-out images of {ood}, the very ones that are tested on"
        words = f"{words}, chosen on the held-out images of {ind} and {ood} that the numbers rest on"
    elif choice.by != "hand":
        words = f"{words}, chosen on the {count:,} held-out {ind} images that the numbers rest on"
    epsilon = "none (nothing is perturbed)" if setting.epsilon == 0 else BY_HAND
    return Chosen(choice, words, labels, epsilon)


def _command(study: Study, setting: Setting, threshold: float, chosen: Chosen) -> str:
    alpha = ",".join(repr(float(a)) for a in setting.weights.alpha)
    how = [f"--threshold={threshold!r}", f"--chosen={chosen.threshold_words}"]
    for name in ("prevalence", "images"):
        value = getattr(setting.choice, name)
        how += [f"--{name}={value!r}"] if value != getattr(Choice, name) else []
    labels = {
        "alpha": f"{setting.weights.rule}; {setting.weights.labels}",
        "epsilon": chosen.epsilon_labels,
        "threshold": chosen.threshold_labels,
    }
    return reproduce(
        study, alpha=alpha, how=how, labels=labels, epsilon=setting.epsilon, called=_file_name, model=name_of(study)
    )


def _file_name(ref: str) -> str:
    """A file's name without the server's folders; a registered name as it is."""
    return Path(ref).name if Path(ref).exists() else ref
