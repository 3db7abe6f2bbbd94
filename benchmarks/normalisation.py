"""How often a wrong normalisation is noticed, on trained LeNets that ship: `python -m benchmarks.normalisation`."""

from __future__ import annotations

from dataclasses import replace

from fssd_core.data import load_data
from fssd_core.models import load_model
from fssd_core.models.normalisation import presets, try_normalisations, verdict

MODELS = ("demo/lenet", "demo/lenet-member1", "demo/lenet-member2", "demo/lenet-dropout", "demo/lenet-oe")
SIGNS = ("another is better", "at chance", "no labels")


def main() -> None:
    images, known = load_data("fmnist:test"), presets(1)
    names = {preset.pair: name for name, preset in known.items()}
    alarms = {(sign, used): 0 for sign in SIGNS for used in ("right", "wrong")}
    accuracy: dict[str, list[float]] = {"right": [], "wrong": []}
    for ref in MODELS:
        trials = try_normalisations(load_model(ref), images, [preset.pair for preset in known.values()])
        for trial in trials:
            used = "right" if trial.pair is None else "wrong"
            well, _ = verdict([trial, *(other for other in trials if other is not trial)], names)
            alarms["another is better", used] += not well
            alarms["at chance", used] += trial.suspicious
            alarms["no labels", used] += replace(trial, accuracy=None).suspicious
            accuracy[used].append(trial.accuracy or 0.0)
    for (sign, used), count in alarms.items():
        print(f"{sign:<18} {used:<6} alarms {count:>2} of {len(accuracy[used])}")
    for used, found in accuracy.items():
        print(f"accuracy, {used}: {min(found):.3f} to {max(found):.3f}")


if __name__ == "__main__":
    main()
