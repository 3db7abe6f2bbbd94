"""The same candidates and detectors on CIFAR-10 networks, with data of one's own (nothing of it is bundled)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ood_free.study import candidate_table, detector_table, kept
from fssd_core.data import load_data
from fssd_core.errors import InputError
from fssd_core.models import load_model

SHAPE = (3, 32, 32)
ARCHS = {"net20": "resnet-cifar20", "net56": "resnet-cifar56"}


def tables(given: dict[str, str], work: Path) -> dict[str, dict]:
    """{'net20': {'report': Table, 'detectors': {...}}, ...} of the networks among the given files.

    Args:
        given: 'net20' and 'net56' (weight files), 'train' and 'ind' (CIFAR-10, labelled), the rest are ood sets.
        work: folder of what is kept.
    """
    data = {name: load_data(path, shape=SHAPE) for name, path in given.items() if name not in ARCHS}
    missing = [name for name in ("train", "ind") if name not in data]
    if missing:
        raise InputError(f"--cifar needs {' and '.join(missing)}=FILE.npz too")
    train, ind = data.pop("train"), data.pop("ind")
    assert train.labels is not None
    sets = {name: images.images for name, images in data.items()}
    out = {}
    for name in [name for name in given if name in ARCHS]:
        model = load_model(given[name], arch=ARCHS[name])
        arguments = (model, train.images, train.labels, ind.images, sets)
        tag = "-".join([name, *sorted(sets)])
        out[name] = {
            "report": kept(
                work / "tables" / f"cifar-{tag}.json", lambda a=arguments: candidate_table(*a, own_pseudo=False)
            ),
            "detectors": kept(work / "tables" / f"cifar-detectors-{tag}.json", lambda a=arguments: detector_table(*a)),
        }
    return out
