"""Reading weight files safely: .safetensors, and .pt / .pth through `torch.load(weights_only=True)`. No code is run."""

from __future__ import annotations

import hashlib
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fssd_core.errors import ModelError
from fssd_core.models.archs import ARCHS, ArchEntry

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params")
_PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True, eq=False)
class WeightFile:
    """What a weight file holds.

    Attributes:
        state: tensors by name, on the CPU, floating ones float32, prefixes of wrappers taken off.
        metadata: text by name (safetensors only).
        digest: SHA-256 of the file's bytes.
    """

    state: dict[str, Tensor]
    metadata: dict[str, str]
    digest: str

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor."""
        return {name: tuple(tensor.shape) for name, tensor in self.state.items()}


def read_weights(path: Path) -> WeightFile:
    """The tensors, metadata and hash of a weight file.

    Raises:
        ModelError: missing, of another kind, empty, damaged, holding code or no tensors, or values that are not finite.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"{path}: weight files end in {', '.join(SUFFIXES)}; this one ends in {path.suffix!r}")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        empty = path.stat().st_size == 0
    except OSError as error:
        raise ModelError(f"{path}: the file cannot be read ({error.strerror or error})") from error
    if empty:
        raise ModelError(f"{path}: the file is empty; copy or save it again")
    state, metadata = _safetensors(path) if path.suffix.lower() == ".safetensors" else (_torch_file(path), {})
    state = {k: v.float() if v.is_floating_point() else v for k, v in _without_prefix(state).items()}
    _check_finite(path, state)
    return WeightFile(state, metadata, digest)


def read_metadata(path: Path) -> dict[str, str]:
    """Only the metadata of a .safetensors file.

    Raises:
        ModelError: missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: the file cannot be read ({_first_line(error)}); copy or save it again") from error


def fill(module: nn.Module, weights: WeightFile, path: Path, arch: str) -> None:
    """Loads the weights into the module.

    Raises:
        ModelError: names or shapes that do not fit, the first of them listed, and architectures that would.
    """
    own = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    given = weights.shapes
    missing = [k for k in own if k not in given and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in given if k not in own]
    other = [f"{k} {given[k]} instead of {own[k]}" for k in own if k in given and given[k] != own[k]]
    if missing or unexpected or other:
        lines = [
            f"{len(names)} {what} ({', '.join(names[:3])}{' ...' if len(names) > 3 else ''})"
            for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
            if names
        ]
        raise ModelError(f"{path}: the weights do not fit {arch!r}: {'; '.join(lines)}{_suggest(weights, arch)}")
    module.load_state_dict(weights.state, strict=False)


def fitting_archs(weights: WeightFile) -> list[str]:
    """Names of the known architectures whose state dict has exactly these names and shapes."""
    return [name for name, entry in ARCHS.items() if _fits(entry, weights.shapes)]


def _fits(entry: ArchEntry, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    if entry.stem not in shapes or entry.head not in shapes:
        return False
    try:
        with torch.device("meta"):
            module = entry.build(*entry.measure(shapes))
    except (ModelError, RuntimeError, ValueError, IndexError):
        return False
    own = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    counters = {k for k in own if k.endswith("num_batches_tracked")}
    return set(own) - counters == set(shapes) - counters and all(own[k] == s for k, s in shapes.items())


def _suggest(weights: WeightFile, arch: str) -> str:
    names = [name for name in fitting_archs(weights) if name != arch]
    if names:
        return f". They fit {' or '.join(map(repr, names))}"
    return ". They fit none of the known architectures (`fssd list archs`)"


def ask_for_arch(path: Path, weights: WeightFile) -> ModelError:
    """The error for a file that does not say its architecture."""
    names = fitting_archs(weights)
    if names:
        return ModelError(
            f"{path}: the file does not say its architecture; its weights fit --arch {' or '.join(names)}"
        )
    some = ", ".join(list(weights.state)[:4])
    return ModelError(
        f"{path}: the file does not say its architecture, and its weights ({some} ...) fit none of the known; "
        f"give --arch, one of {', '.join(ARCHS)}"
    )


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(
            f"{path}: this is not a whole .safetensors file ({_first_line(error)}); copy or save it again"
        ) from error


UNREADABLE = (
    *(pickle.UnpicklingError, struct.error, zipfile.BadZipFile, EOFError, OSError),
    *(
        RuntimeError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ),  # torch's unpickler on bytes that are no pickle
)


def _torch_file(path: Path) -> dict[str, Tensor]:
    archive = zipfile.is_zipfile(path)
    if archive and _is_script(path):
        raise ModelError(
            f"{path}: this is a TorchScript program, which is code and is never run here. Save its state dict: "
            f"torch.save(torch.jit.load({str(path)!r}).state_dict(), 'weights.pt')"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on pickle protocols: refused files get our own message
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        with path.open("rb") as file:
            is_pickle = archive or file.read(1) == b"\x80"
        if is_pickle and isinstance(error, pickle.UnpicklingError) and "nsupported" in str(error):
            raise ModelError(
                f"{path}: the file holds Python objects, not only weights; opening it could run code, so it was "
                "refused. If you trust it, convert it:\n"
                f"    model = torch.load({str(path)!r}, weights_only=False)\n"
                "    torch.save(model.state_dict(), 'weights.pt')"
            ) from error
        raise ModelError(
            f"{path}: the file is damaged, cut off or not written by torch.save ({_first_line(error)}); copy or save "
            "it again"
        ) from error
    return _state_dict(content, path)


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict itself, or the one inside a training checkpoint."""
    for wrapper in ("", *_WRAPPERS):
        inner = content.get(wrapper) if wrapper and isinstance(content, dict) else content
        if isinstance(inner, dict) and inner and all(isinstance(v, Tensor) for v in inner.values()):
            return {str(k): v for k, v in inner.items()}
    has = f"a dict of {', '.join(map(str, list(content)[:5]))}" if isinstance(content, dict) else type(content).__name__
    raise ModelError(f"{path}: no state dict was found in it (it holds {has}); save model.state_dict()")


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES * 2:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    if not state:
        raise ModelError(f"{path}: the file holds no weights")
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"{path}: weights {name!r} have {bad} of {tensor.numel()} values that are NaN or infinite; the file is "
                "damaged or the training diverged, take another checkpoint"
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
