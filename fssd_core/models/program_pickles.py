"""Whether every tensor of a TorchScript archive lies inside its member: torch's own reader does not look, and crashes.

The pickles are read with stand-ins in the place of every name that they hold, so nothing they name is found or run.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

from fssd_core.errors import ModelError

_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
}  # fmt: skip


def check_tensors(members: Mapping[str, int], folder: str, pickled: bytes, path: object) -> None:
    """Raises ModelError unless the tensors of one pickle are plain ones inside their members.

    Args:
        members: bytes of each member of the archive, by name.
        folder: where this pickle's raw values lie ('data', 'constants').
        pickled: the pickle.
        path: of the file, for the message.
    """
    try:
        _Tensors(members, folder, pickled).load()
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except Exception as error:  # a pickle may fail in any way
        raise ModelError(
            f"{path}: cannot read the TorchScript program ({type(error).__name__}: {str(error)[:120]}); it is damaged: "
            "copy or save it again"
        ) from error


class _StandIn:
    """Takes the place of any class or function."""

    def __new__(cls, *_args: object, **_named: object) -> _StandIn:
        return object.__new__(cls)

    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass

    def __setitem__(self, _key: object, _value: object) -> None:
        pass

    def append(self, _value: object) -> None:
        pass


class _Tensors(pickle.Unpickler):
    def __init__(self, members: Mapping[str, int], folder: str, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled))
        self._members, self._folder = members, folder

    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins alone: the file decides what is asked for, never what is given."""
        if name == "_rebuild_tensor_v2":
            return self._tensor
        if name.startswith("_rebuild"):
            raise ModelError(f"the TorchScript program holds tensors of another kind ({name[:40]}); save plain ones")
        if module == "torch" and name.endswith("Storage"):
            return name
        return _StandIn

    def persistent_load(self, pid: Any) -> Any:
        """(kind of storage, number of its member, how many values it has)."""
        _, kind, key, _, count = pid
        return kind, key, count

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_rest: object) -> _StandIn:
        kind, key, count = storage
        have = self._members.get(f"{self._folder}/{key}")
        numbers = (offset, count, *size, *stride)
        if have is None or kind not in _BYTES or not all(type(n) is int and 0 <= n < 2**48 for n in numbers):
            raise ModelError("the TorchScript program is damaged (a tensor without values); copy or save it again")
        end = offset + 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if 0 not in size else 0
        if max(end, count) * _BYTES[kind] > have:
            raise ModelError(
                f"the TorchScript program is damaged (a tensor of {max(end, count):,} values in {have:,} bytes); copy "
                "or save it again"
            )
        return _StandIn()
