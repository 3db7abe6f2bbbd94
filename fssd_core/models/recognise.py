"""Which architecture a state dict belongs to, by names and shapes of its weights, whatever they were saved inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from fssd_core.errors import ModelError
from fssd_core.models.archs import ARCHS, find_arch
from fssd_core.models.counts import COUNTS
from fssd_core.models.entry import ArchEntry, Shapes
from fssd_core.models.nets import Shape
from fssd_core.models.torchvision_nets import WithoutNumbers
from fssd_core.models.weights import WeightFile

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "0.", "1.")
_COUNTER = "num_batches_tracked"
_MEANS, _STDS = ("mean", "mu"), ("std", "sigma")


@dataclass(frozen=True)
class Misfit:
    """How given weights differ from those an architecture has.

    Attributes:
        missing: names that it has and the file lacks.
        unexpected: names that the file has and it lacks.
        other: (name, shape in the file, shape it has).
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    other: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def count(self) -> int:
        """Names that differ; 0 where the weights fit."""
        return len(self.missing) + len(self.unexpected) + len(self.other)

    def words(self, most: int = 3) -> str:
        """'2 missing (a, b); 1 of another shape (c (3,) instead of (4,))', at most so many names of each kind."""
        other = tuple(f"{name} {given} instead of {own}" for name, given, own in self.other)
        kinds = ((self.missing, "missing"), (self.unexpected, "unexpected"), (other, "of another shape"))
        return "; ".join(
            f"{len(names)} {what} ({', '.join(names[:most])}{' ...' if len(names) > most else ''})"
            for names, what in kinds
            if names
        )


class MisfitError(ModelError):
    """The weights do not fit the architecture; `misfit` lists every name."""

    def __init__(self, words: str, misfit: Misfit) -> None:
        super().__init__(words)
        self.misfit = misfit


@dataclass(frozen=True, eq=False)
class Fit:
    """A state dict as one architecture takes it.

    Attributes:
        entry: the architecture.
        state: the weights under its own names.
        classes: number of logits.
        input_shape: (C, H, W) that the weights say, else the usual.
        mean: of a normalisation that was saved among the weights; None where there was none.
        std: of the same.
        notes: what was taken off or left out, in words.
    """

    entry: ArchEntry
    state: dict[str, Tensor]
    classes: int
    input_shape: Shape
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Reading:
    state: dict[str, Tensor]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


def fits(weights: WeightFile) -> list[Fit]:
    """Every architecture of the table whose state dict has exactly these names and shapes, once each."""
    found: dict[str, Fit] = {}
    for reading in _readings(weights.state):
        for name, entry in ARCHS.items():
            if name not in found and (fit := _exact(entry, reading)) is not None:
                found[name] = fit
        if found:
            return list(found.values())
    return []


def fitting_archs(weights: WeightFile) -> list[str]:
    """The names of `fits`."""
    return [fit.entry.name for fit in fits(weights)]


def fit_to(arch: str, weights: WeightFile, path: Path) -> Fit:
    """The weights as this architecture takes them.

    Raises:
        MisfitError: names or shapes do not fit; the message lists the first of them and architectures that would.
        ModelError: no such architecture.
    """
    entry = find_arch(arch)
    closest: Misfit | None = None
    for reading in _readings(weights.state):
        if (fit := _exact(entry, reading)) is not None:
            return fit
        misfit = _nearest(entry, reading)
        if closest is None or misfit.count < closest.count:
            closest = misfit
    assert closest is not None
    names = [name for name in fitting_archs(weights) if name != entry.name]
    hint = (
        f"They fit {' or '.join(map(repr, names))}"
        if names
        else "They fit none of the known architectures (`fssd list archs`)"
    )
    raise MisfitError(f"{path}: the weights do not fit {arch!r}: {closest.words()}. {hint}", closest)


def fill(module: nn.Module, fit: Fit, path: Path) -> None:
    """Loads the weights into the network, which the file's own facts may have made another.

    Raises:
        MisfitError: its names or shapes are not those that were recognised.
    """
    own = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    misfit = compare(own, {k: tuple(v.shape) for k, v in fit.state.items()})
    if misfit.count:
        raise MisfitError(f"{path}: the weights do not fit {fit.entry.name!r}: {misfit.words()}", misfit)
    module.load_state_dict(fit.state, strict=False)


def recognised(weights: WeightFile, path: Path) -> Fit:
    """The one architecture that the weights fit.

    Raises:
        ModelError: they fit several, or none; the message says what to give.
    """
    found = fits(weights)
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(fit.entry.name for fit in found)
        raise ModelError(f"{path}: the file does not say its architecture; its weights fit --arch {names}")
    some = ", ".join(list(weights.state)[:4])
    raise ModelError(
        f"{path}: the file does not say its architecture, and its weights ({some} ...) fit none of the known; "
        "give --arch, one of lenet, mlp, resnet-cifar20, torchvision/resnet50 ... (`fssd list archs` shows all), "
        "timm/NAME, or start with --factory package.module:function that builds it"
    )


def compare(own: Shapes, given: Shapes) -> Misfit:
    """How the given names and shapes differ from an architecture's own; batch counters may be missing."""
    return Misfit(
        tuple(k for k in own if k not in given and not k.endswith(_COUNTER)),
        tuple(k for k in given if k not in own),
        tuple((k, given[k], own[k]) for k in own if k in given and given[k] != own[k]),
    )


def _readings(state: Mapping[str, Tensor]) -> Iterator[_Reading]:
    """The weights as they are, then without what usual wrappers put around them."""
    first = _Reading(dict(state))
    yield first
    inside = next(_without_normalisation(first), None)
    if inside is not None:
        yield inside
    seen, waiting = {tuple(state)}, [inside or first]
    while waiting:
        for other in _without_prefix(waiting.pop(0)):
            if tuple(other.state) not in seen and len(seen) < 24:
                seen.add(tuple(other.state))
                waiting.append(other)
                yield other


def _without_prefix(reading: _Reading) -> Iterator[_Reading]:
    for prefix in PREFIXES:
        inside = {k.removeprefix(prefix): v for k, v in reading.state.items() if k.startswith(prefix)}
        rest = [k for k in reading.state if not k.startswith(prefix)]
        if len(inside) > len(rest):
            words = f"the prefix {prefix!r} was taken off the names"
            if rest:
                words += f", and {len(rest)} without it left out ({', '.join(rest[:3])}{' ...' if rest[3:] else ''})"
            yield _Reading(inside, reading.mean, reading.std, (*reading.notes, words))


def _without_normalisation(reading: _Reading) -> Iterator[_Reading]:
    """Models that normalise inside save mean and std as buffers of 1 or 3 numbers; they are used as such."""
    for name, value in reading.state.items():
        parent, _, last = name.rpartition(".")
        if last not in _MEANS or value.numel() not in (1, 3):
            continue
        other = f"{parent}.".lstrip(".") + _STDS[_MEANS.index(last)]
        if other in reading.state and reading.state[other].numel() == value.numel():
            mean, std = (tuple(round(float(v), 6) for v in reading.state[k].flatten()) for k in (name, other))
            if min(std) > 0:
                rest = {k: v for k, v in reading.state.items() if k not in (name, other)}
                words = f"the model normalises inside: {name} and {other} are used, nothing is normalised twice"
                yield _Reading(rest, mean, std, (*reading.notes, words))


def _exact(entry: ArchEntry, reading: _Reading) -> Fit | None:
    for state in entry.spelled(reading.state):
        shapes = {k: tuple(v.shape) for k, v in state.items()}
        count = sum(not k.endswith(_COUNTER) for k in shapes)
        known = not entry.stem or (entry.stem in shapes and entry.head in shapes)
        known = known and COUNTS.get(entry.name, count) == count
        if known and (measured := _measured(entry, shapes)) is not None:
            classes, input_shape, own = measured
            if compare(own, shapes).count == 0:
                notes = reading.notes
                if dropped := len(reading.state) - len(state):
                    notes = (*notes, f"{dropped} weights of auxiliary heads are not used")
                if entry.assumed:
                    notes = (*notes, f"taken for granted: {entry.assumed}")
                return Fit(entry, state, classes, input_shape, reading.mean, reading.std, notes)
    return None


def _nearest(entry: ArchEntry, reading: _Reading) -> Misfit:
    found = []
    for state in entry.spelled(reading.state):
        shapes = {k: tuple(v.shape) for k, v in state.items()}
        measured = _measured(entry, shapes) or (10, entry.input_shape, own_shapes(entry.name, 10, entry.input_shape))
        found.append(compare(measured[2], shapes))
    return min(found, key=lambda misfit: misfit.count)


def _measured(entry: ArchEntry, shapes: Shapes) -> tuple[int, Shape, Shapes] | None:
    """(classes, input shape, shapes of the network's own weights); None where these cannot be of this kind."""
    try:
        classes, input_shape = entry.measure(shapes) if entry.stem else (_last_width(shapes), entry.input_shape)
        return classes, input_shape, own_shapes(entry.name, classes, input_shape)
    except (RuntimeError, ValueError, IndexError, ZeroDivisionError, AssertionError):
        return None
    except ModelError:
        if not entry.stem:  # a factory that fails says so
            raise
        return None


def _last_width(shapes: Shapes) -> int:
    return next((shape[0] for shape in reversed(list(shapes.values())) if len(shape) == 2), 10)


@lru_cache(maxsize=256)
def own_shapes(arch: str, classes: int, input_shape: Shape) -> Shapes:
    """Names and shapes of an architecture's state dict, without the memory."""
    entry = find_arch(arch)
    with torch.random.fork_rng(devices=[]), WithoutNumbers():
        state = entry.build(classes, input_shape).state_dict()
    return {k: tuple(v.shape) for k, v in state.items()}
