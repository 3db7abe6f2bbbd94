"""Tensors as a .safetensors file that is written whole or not at all; no pickles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fssd_core.atomic import write_bytes
from fssd_core.errors import ModelError

_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.uint8: "U8", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.bool: "BOOL",
}  # fmt: skip


def save_checkpoint(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, object]) -> None:
    """Writes a .safetensors file atomically; the same state and metadata always give the same bytes.

    Args:
        path: where to.
        state: tensors by name.
        metadata: facts about them; anything but text is written as JSON. `arch`, `activation`, `dropout`,
            `input_shape`, `mean`, `std`, `taps` and `step` are read again by `load_model`.

    Raises:
        ModelError: a tensor of a type that the format does not have.
    """
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
    header: dict[str, object] = {"__metadata__": dict(sorted(text.items()))}
    parts, start = [], 0
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        if tensor.dtype not in _DTYPES:
            raise ModelError(f"weights {name!r} of type {tensor.dtype} cannot be saved")
        part = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, start + len(part)],
        }  # fmt: skip
        start += len(part)
        parts.append(part)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    write_bytes(path, len(head).to_bytes(8, "little") + head + b"".join(parts))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file as they are.

    Raises:
        ModelError: missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: this is not a whole .safetensors file ({error})") from error


def weights_digest(state: nn.Module | Mapping[str, object]) -> str:
    """SHA-256 over the names, types, shapes and bytes of a state dict's tensors, in the order of their names.

    It is the same for a network in memory and in any kind of file. BatchNorm's `num_batches_tracked` is left out, for
    it changes no evaluation.

    Raises:
        ModelError: an entry is no tensor.
    """
    entries = state.state_dict() if isinstance(state, nn.Module) else state
    digest = hashlib.sha256()
    for name in sorted(entries):
        value = entries[name]
        if name.rpartition(".")[2] == "num_batches_tracked":
            continue
        if not isinstance(value, Tensor):
            raise ModelError(
                f"the network's state {name!r} is a {type(value).__name__}, no tensor; it cannot be hashed"
            )
        head = f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode()
        digest.update(len(head).to_bytes(8, "little") + head)
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
