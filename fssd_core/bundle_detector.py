"""`load_detector`: a bundle and the network it was made for become scores and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fssd_core import ensemble
from fssd_core.bundle_file import read_bundle
from fssd_core.bundle_types import Bundle, Shape
from fssd_core.checkpoint_file import weights_digest
from fssd_core.errors import FssdError, InputError, MemoryShortError, ModelError
from fssd_core.extractor import FeatureExtractor, check_images
from fssd_core.models import LoadedModel, load_model
from fssd_core.runtime import Progress, silent
from fssd_core.singularity import fssd
from fssd_core.types import LayerScores

PIXEL_SLACK = 1e-3  # resampling may overshoot 0 and 1 by rounding
PROBE_SLACK = 0.01  # another device or reduced precision moves a distance by less; another network by more


class BundledDetector:
    """A tuned detector on a network that was checked against the bundle. Use it from one thread at a time.

    Attributes:
        bundle: everything the detector is.
        extractor: the network and the bundle's layers.
    """

    def __init__(self, bundle: Bundle, extractor: FeatureExtractor) -> None:
        self.bundle = bundle
        self.extractor = extractor
        self._fss = {k: torch.from_numpy(np.array(v)).to(extractor.device) for k, v in bundle.fss.items()}

    def layer_scores(
        self, images: Tensor, *, batch_size: int | None = None, progress: Progress = silent
    ) -> LayerScores:
        """(N, K) float32 distances from F* at the bundle's epsilon.

        Args:
            images: (N, C, H, W) float in [0, 1], of the bundle's input shape; normalised here.
            batch_size: images at once; None for the bundle's own. It must stay so where `bundle.depends_on_batch`.
            progress: told after each batch; may raise CancelledError.

        Raises:
            InputError: another shape, pixels outside [0, 1] or not finite, no images, or another batch size where
                scores depend on it.
            ModelError: not a float tensor of 4 dimensions, or distances that are not finite.
            MemoryShortError: memory ran out, and smaller batches would change the scores.
        """
        bundle = self.bundle
        _check_pixels(images, bundle.input_shape)
        size = bundle.batch_size if batch_size is None else batch_size
        if bundle.depends_on_batch and size != bundle.batch_size:
            raise InputError(
                f"batch size {size} was given; with the gradient rule 'standardised' scores depend on the batch, and "
                f"this bundle was made with {bundle.batch_size}. Leave batch_size out"
            )

        def told(done: int, total: int, what: str) -> None:
            if bundle.depends_on_batch and done != total and done % size:
                raise MemoryShortError(
                    f"a batch of {size} images does not fit into memory, and smaller ones would change the scores "
                    "(gradient rule 'standardised'); use another device"
                )
            progress(done, total, what)

        pixels = images.to(torch.float32)
        return fssd(
            self.extractor, pixels, self._fss, epsilon=bundle.epsilon, gradient=bundle.gradient, batch_size=size,
            progress=told,
        )  # fmt: skip

    def scores(
        self, images: Tensor, *, batch_size: int | None = None, progress: Progress = silent
    ) -> npt.NDArray[np.float64]:
        """(N,) alpha-weighted distances, larger = more in-distribution; arguments and errors as `layer_scores`."""
        return self.combine(self.layer_scores(images, batch_size=batch_size, progress=progress))

    def verdicts(
        self, images: Tensor, *, batch_size: int | None = None, progress: Progress = silent
    ) -> npt.NDArray[np.bool_]:
        """(N,) True where accepted as in-distribution: score >= threshold. Arguments and errors as `layer_scores`."""
        return self.accepts(self.scores(images, batch_size=batch_size, progress=progress))

    def combine(self, distances: LayerScores) -> npt.NDArray[np.float64]:
        """(N,) scores of distances that `layer_scores` gave."""
        return ensemble.combine(distances, self.bundle.weights)

    def accepts(self, scores: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """(N,) verdicts on scores that `scores` gave."""
        return np.asarray(scores) >= self.bundle.threshold


def load_detector(
    bundle: str | Path | bytes | Bundle,
    model: nn.Module | LoadedModel | str | Path | None = None,
    *,
    device: str | torch.device | None = None,
) -> BundledDetector:
    """The bundle's detector on its network; the network's weights must be the very ones it was made with.

    Args:
        bundle: a .fssd file, its bytes, or a bundle that was read.
        model: the network: an `nn.Module` (left as it is; moved only if `device` is given), a loaded model, or what
            `load_model` takes. None for the bundle's own reference, or a file of that name beside the bundle.
        device: 'cpu', 'cuda' or 'mps'; None for where a given module is, else the best there is.

    Raises:
        ModelError: the bundle cannot be used (see `read_bundle`), or the model is another one; the message says how.
        InputError: the device does not exist.
    """
    found = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    folder = Path(bundle).expanduser().parent if isinstance(bundle, str | Path) else None
    chosen = _find_model(found, folder) if model is None else model
    if isinstance(chosen, str | Path):
        chosen = load_model(str(chosen), arch=found.arch)
    if isinstance(chosen, LoadedModel):
        told = f"model {chosen.ref!r}"
        if chosen.arch != found.arch:
            raise ModelError(f"the bundle was made for {_made_for(found)}; {told} has architecture {chosen.arch!r}")
        module = chosen.module
    elif isinstance(chosen, nn.Module):
        module = _unwrapped(chosen)
        told = f"the given {type(module).__name__}"
        device = _device_of(module) if device is None else device
    else:
        raise InputError(f"model is a {type(chosen).__name__}; give an nn.Module, a LoadedModel, a reference or a path")
    _check_weights(found, module, told)
    detector = BundledDetector(
        found, FeatureExtractor(module, found.layers, mean=found.mean, std=found.std, device=device)
    )
    _check_probe(detector, told)
    return detector


def probe_image(shape: Shape) -> Tensor:
    """(1, C, H, W): pixels rising evenly from 0 to 1, by which two forward passes are compared."""
    return torch.linspace(0, 1, int(np.prod(shape))).reshape(1, *shape)


def probe_distances(extractor: FeatureExtractor, fss: Mapping[str, Tensor], shape: Shape) -> tuple[float, ...]:
    """(K,) distances of the probe image from F*, unperturbed."""
    return tuple(fssd(extractor, probe_image(shape), fss).values[0].tolist())


def _check_pixels(images: Tensor, shape: Shape) -> None:
    check_images(images)
    if tuple(images.shape[1:]) != shape:
        given, wanted = ("x".join(map(str, s)) for s in (images.shape[1:], shape))
        raise InputError(
            f"images of shape {given} (channels x height x width) were given; this bundle takes {wanted}. "
            "ImageSet.fitted(shape) converts them"
        )
    if len(images) == 0:
        raise InputError("0 images were given; give at least 1")
    low, high = (float(v) for v in torch.aminmax(images))
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~torch.isfinite(images)).flatten(1).any(1).sum())
        raise InputError(f"{bad} of {len(images)} images have pixels that are NaN or infinite; leave those out")
    if low < -PIXEL_SLACK or high > 1 + PIXEL_SLACK:
        raise InputError(
            f"pixels from {low:g} to {high:g} were given; they must lie in 0 to 1, before normalisation "
            "(divide bytes by 255)"
        )


def _find_model(bundle: Bundle, folder: Path | None) -> LoadedModel:
    """The network by the bundle's reference, else by its file name beside the bundle."""
    try:
        return load_model(bundle.reference, arch=bundle.arch, step=bundle.step)
    except FssdError as error:
        beside = None if folder is None else folder / Path(bundle.reference).name
        if beside is None or not beside.is_file():
            raise ModelError(
                f"the bundle was made for {_made_for(bundle)}, which cannot be loaded here ({error}); give the model "
                "(model=, or --model)"
            ) from error
    return load_model(str(beside), arch=bundle.arch)


def _unwrapped(module: nn.Module) -> nn.Module:
    """The network itself inside DataParallel, DistributedDataParallel or torch.compile."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner: object = module.module
        else:
            inner = getattr(module, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _device_of(module: nn.Module) -> torch.device | None:
    tensor = next((t for t in [*module.parameters(), *module.buffers()]), None)
    return None if tensor is None else tensor.device


def _made_for(bundle: Bundle) -> str:
    step = "" if bundle.step is None else f" at step {bundle.step}"
    return f"{bundle.reference!r}{step} ({bundle.arch}, weights {bundle.weights_sha256[:12]})"


def _check_weights(bundle: Bundle, module: nn.Module, told: str) -> None:
    digest = weights_digest(module)
    if digest == bundle.weights_sha256:
        return
    kinds = sorted({str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.dtype != torch.float32})
    hint = f"; some of them are {', '.join(kinds)}, a bundle is made with float32" if kinds else ""
    raise ModelError(
        f"the bundle was made for {_made_for(bundle)}; {told} has other weights ({digest[:12]}){hint}. F* and the "
        "threshold hold for those weights only: give that model, or export a bundle for this one"
    )


def _check_probe(detector: BundledDetector, told: str) -> None:
    """Refuses a network with the right weights that computes something else with them."""
    bundle = detector.bundle
    found = np.array(probe_distances(detector.extractor, detector._fss, bundle.input_shape))
    stated = np.array(bundle.probe)
    off = np.abs(found - stated) > PROBE_SLACK * np.abs(stated) + 1e-6
    if off.any():
        k = int(np.flatnonzero(off)[0])
        raise ModelError(
            f"{told} has the weights that the bundle was made for but computes something else with them: the test "
            f"picture's distance in layer {bundle.layers[k]} is {found[k]:.6g} instead of {stated[k]:.6g}. Give the "
            "network with the same forward pass, without a normalisation of its own"
        )
