"""Reading weight files safely: .safetensors, and .pt / .pth through `torch.load(weights_only=True)`. No code is run."""

from __future__ import annotations

import hashlib
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fssd_core.errors import ModelError, did_you_mean
from fssd_core.models.program_flag import program_kind, refusal

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params"),
    *("ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema", "model_ema_state_dict"),
)
_PREFIXES = ("module.", "_orig_mod.")
_MOST_PICKLE = 16 * 2**20  # bytes of a pickle that are searched for words


@dataclass(frozen=True, eq=False)
class WeightFile:
    """What a weight file holds.

    Attributes:
        state: tensors by name, on the CPU, floating ones float32, prefixes of wrappers taken off.
        metadata: text by name (safetensors only).
        digest: SHA-256 of the file's bytes.
        parts: where state dicts lie in it ('state_dict', 'model.state_dict'); empty where it is one itself.
        notes: what must be known of the reading, in words.
    """

    state: dict[str, Tensor]
    metadata: dict[str, str]
    digest: str
    parts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor."""
        return {name: tuple(tensor.shape) for name, tensor in self.state.items()}


def read_weights(path: Path, *, part: str | None = None) -> WeightFile:
    """The tensors, metadata and hash of a weight file.

    Args:
        path: .safetensors, or what torch.save wrote.
        part: which state dict of a training checkpoint ('state_dict_ema'); None for the usual one.

    Raises:
        ModelError: missing, of another kind, empty, damaged, holding code or no tensors, or values that are not finite.
    """
    if (kind := program_kind(path)) is not None and path.is_file():
        raise refusal(path, kind)
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
    if path.suffix.lower() == ".safetensors":
        state, metadata = _safetensors(path)
        parts: tuple[str, ...] = ()
        notes: tuple[str, ...] = ()
        if part is not None:
            raise ModelError(f"{path}: a .safetensors file has no parts; leave {part!r} out")
    else:
        metadata = {}
        state, parts, notes = _state_dict(_torch_file(path), path, part)
    return WeightFile(checked_state(path, state), metadata, digest, parts, notes)


def checked_state(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as float32, prefixes of wrappers taken off.

    Raises:
        ModelError: none, tensors of other kinds, more values than the file holds, or values that are not finite.
    """
    _check_real(path, state)
    found = {k: v.float() if v.is_floating_point() else v for k, v in _without_prefix(dict(state)).items()}
    _check_finite(path, found)
    return found


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
        AssertionError,
        MemoryError,
    ),  # torch's unpickler on bytes that are no pickle
)


def _torch_file(path: Path) -> Any:
    archive = _is_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on pickle protocols: refused files get our own message
            return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        with path.open("rb") as file:
            is_pickle = archive or file.read(1) == b"\x80"
        if is_pickle and isinstance(error, pickle.UnpicklingError) and "nsupported" in str(error):
            raise _refused(path, str(error)) from error
        raise ModelError(
            f"{path}: the file is damaged, cut off or not written by torch.save ({_first_line(error)}); copy or save "
            "it again"
        ) from error


def _refused(path: Path, words: str) -> ModelError:
    """The error for a file with Python objects in it: what they are, and the two lines that convert it."""
    asked = re.search(r"GLOBAL ([\w.]{1,100})", words)
    holds = f" ({asked[1]})" if asked else ""
    wrapper = _pickled_wrapper(path)
    name, value = ("model", "model.state_dict()") if wrapper is None else ("checkpoint", f"checkpoint[{wrapper!r}]")
    return ModelError(
        f"{path}: the file holds Python objects{holds}, not only weights; opening it could run code, so it was "
        "refused. If you trust it, convert it:\n"
        f"    {name} = torch.load({str(path)!r}, weights_only=False)\n"
        f"    torch.save({value}, 'weights.pt')"
    )


def _pickled_wrapper(path: Path) -> str | None:
    """The name under which a pickled dict holds its state dict, found by reading the pickle's words: nothing is run."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                with archive.open(name) as file:
                    content = file.read(_MOST_PICKLE)
        else:
            with path.open("rb") as other:
                content = other.read(_MOST_PICKLE)
        steps = (step for step in pickletools.genops(content) if step[0].name not in ("PROTO", "FRAME"))
        if next(steps)[0].name != "EMPTY_DICT":
            return None
        return next(str(word) for _, word, _ in steps if isinstance(word, str) and word in _WRAPPERS)
    except (ValueError, StopIteration, OSError, zipfile.BadZipFile, UnicodeDecodeError, struct.error, RuntimeError):
        return None


def _is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # a zip over several disks, says Python 3.11
        return False


def _check_real(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuses tensors that are not there: a file of a KiB can claim a value repeated a billion times.

    Raises:
        ModelError: sparse, quantised or empty-handed tensors, or more values than the file has room for.
    """
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise ModelError(f"{path}: weights {name!r} are sparse, quantised or without values; save plain tensors")
    values = sum(tensor.numel() for tensor in state.values())
    if values > 8 * path.stat().st_size:
        raise ModelError(
            f"{path}: it claims {values:,} values, more than its {path.stat().st_size:,} bytes can hold; save whole "
            "tensors (tensor.contiguous())"
        )


def _state_dict(
    content: Any, path: Path, part: str | None
) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """(state dict, where state dicts lie, notes): the file itself, or one inside a training checkpoint."""
    found = dict(_state_dicts(content, "", 0))
    if "" in found:
        return found[""], (), ()
    if not found:
        has = (
            f"a dict of {', '.join(map(str, list(content)[:5]))}"
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise ModelError(f"{path}: no state dict was found in it (it holds {has}); save model.state_dict()")
    if part is not None and part not in found:
        raise ModelError(f"{path}: it holds no state dict {part!r}{did_you_mean(part, found)}")
    chosen = part or next(iter(found))
    others = [name for name in found if name != chosen]
    note = f"the weights are those of {chosen!r}; the file also holds {', '.join(map(repr, others))}" if others else ""
    return found[chosen], tuple(found), (note,) if note else ()


def _state_dicts(content: Any, name: str, depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(path, state dict) in a dict of dicts, the usual names in the usual order; at most three deep."""
    if not isinstance(content, dict) or not content:
        return
    if all(isinstance(v, Tensor) for v in content.values()):
        yield name, {str(k): v for k, v in content.items()}
    elif depth < 3:
        for wrapper in _WRAPPERS:
            yield from _state_dicts(content.get(wrapper), f"{name}.{wrapper}".lstrip("."), depth + 1)


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
    """What a library says, up to its first full stop; its kind where it says no word."""
    line = (str(error).strip().splitlines() or [""])[0].split(". ")[0].rstrip(".")
    if not any(character.isalpha() for character in line):
        return type(error).__name__
    return line if len(line) <= 160 else f"{line[:157]}..."
