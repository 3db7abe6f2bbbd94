"""TorchScript programs: their weights for a network that is recognised, else the whole program with one layer.

Hooks cannot be put on a compiled module (torch refuses them), so the layers inside a program cannot be read. Opening
one runs what it wrote into `__setstate__`, and the language can write files: code that names what could is refused.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fssd_core.errors import ModelError
from fssd_core.extractor import logits_of
from fssd_core.models.nets import Shape
from fssd_core.models.program_pickles import check_tensors
from fssd_core.runtime import ANY_NUMBER, generator, joined, pieces

LAYER = "output"
_MOST_CODE = 32 * 2**20
_SIDES = (224, 32, 28, 64, 96, 128, 256, 299, 384, 16, 8)
_FILES = re.compile(r"\b(save|from_file|load|load_tensor|classes|rpc_\w+|remote|fork)\b")
_OPERATORS = re.compile(r"\bops\.(prim|aten|quantized)\.\w+")


class Script(nn.Module):
    """A compiled program and one layer behind it that gives its output on.

    The program is no submodule, for nothing can be hooked on there; its weights and buffers are this module's own.
    """

    def __init__(self, program: torch.jit.ScriptModule, images_at_once: tuple[int, int]) -> None:
        super().__init__()
        self.__dict__["program"] = program
        self.images_at_once = images_at_once
        self.output = nn.Identity()

    def forward(self, images: Tensor) -> Any:
        """What the program gives; images in pieces where it was traced for a number of them."""
        program = self.__dict__["program"]
        low, high = self.images_at_once
        if low <= len(images) <= high:
            return self.output(program(images))
        return self.output(joined([program(piece) for piece in pieces(images, (low, high))], len(images)))

    def named_parameters(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[Any]:
        """The program's."""
        yield from self.__dict__["program"].named_parameters(prefix, recurse, remove_duplicate)

    def named_buffers(self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True) -> Iterator[Any]:
        """The program's."""
        yield from self.__dict__["program"].named_buffers(prefix, recurse, remove_duplicate)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The program's."""
        return self.__dict__["program"].state_dict(*args, **kwargs)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Script:
        self.__dict__["program"]._apply(fn)
        return self


def open_script(content: bytes, path: Path) -> torch.jit.ScriptModule:
    """The program, its weights frozen.

    Raises:
        ModelError: damaged, with code that names files, or weights that are not float32.
    """
    archive = _looked_through(content, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit.load is deprecated since 2.10
            load: Any = torch.jit.load
            program: torch.jit.ScriptModule = load(io.BytesIO(archive), map_location="cpu")
    except Exception as error:  # whatever torch's reader stumbles over in a strange file
        raise ModelError(
            f"{path}: torch {torch.__version__} cannot read the TorchScript program ({_line(error)}); it is damaged, "
            "or needs operators that are not here: save it again, or save its state dict"
        ) from error
    for name, tensor in [*program.named_parameters(), *program.named_buffers()]:
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ModelError(
                f"{path}: weights {name!r} are {str(tensor.dtype).removeprefix('torch.')}; programs compute in the "
                "type they were saved in, and float32 is needed: save model.float()"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"{path}: weights {name!r} hold values that are NaN or infinite; take another checkpoint")
        tensor.requires_grad_(False)
    if hasattr(program, "training"):
        program.eval()
    return program


def whole(
    program: torch.jit.ScriptModule, content: bytes, path: Path, shape: Shape | None
) -> tuple[Script, Shape, bool]:
    """(module, shape of one image, whether it was found in the file) of the program as one layer.

    Raises:
        ModelError: no size of images fits it, or its output depends on the other images of a batch or on chance.
    """
    traced = _traced_sizes(content)
    known = shape or (None if traced is None else (traced[1], traced[2], traced[3]))
    channels = _channels(program)
    tried = [known] if known else [(c, s, s) for c in channels for s in _SIDES]
    counts = [3, *([traced[0]] if traced else []), 1, 2]
    first = ""
    for size in tried:
        for count in counts:
            module = Script(program, (1, ANY_NUMBER) if count == 3 else (count, count))
            try:
                with torch.no_grad():
                    logits_of(module(torch.rand(3, *size, generator=generator(0))))
            except ModelError as error:
                raise ModelError(f"{path}: {error}") from error
            except Exception as error:  # noqa: BLE001 - another size may fit
                first = first or _line(error)
                continue
            _check_alone(module, size, path)
            return module, size, known is not None
    words = ", ".join("x".join(map(str, size)) for size in tried[:4])
    raise ModelError(
        f"{path}: images of {words}{' ...' if tried[4:] else ''} do not fit the TorchScript program ({first}); trace "
        "it with an example (1, C, H, W) of float32 images, or save its state dict"
    )


def same(program: torch.jit.ScriptModule, module: nn.Module, shape: Shape) -> bool:
    """Whether a network that was built again gives what the program gives, on three noise images."""
    images = torch.rand(3, *shape, generator=generator(0))
    try:
        with torch.no_grad():
            given, built = (logits_of(m(images)) for m in (Script(program, (1, ANY_NUMBER)), module.eval()))
    except Exception:  # noqa: BLE001 - a program that does not take such images is another one
        return False
    return given.shape == built.shape and torch.allclose(given, built, rtol=1e-3, atol=1e-4)


def _check_alone(module: Script, shape: Shape, path: Path) -> None:
    images = torch.rand(3, *shape, generator=generator(1))
    with torch.no_grad():
        together = logits_of(module(images))
        again, other = logits_of(module(images)), logits_of(module(torch.cat([images[:1], 1 - images[1:]])))
    scale = float(together.abs().max()) * 1e-4 + 1e-6
    if not torch.isfinite(together).all():
        raise ModelError(f"{path}: the TorchScript program gives values that are not finite; save its state dict")
    if float((together - again).abs().max()) > scale or float((together - other)[0].abs().max()) > scale:
        raise ModelError(
            f"{path}: the TorchScript program gives one image other values each time, or with other images beside it: "
            "it was saved in training mode. Call model.eval() and trace or script it again"
        )


def _looked_through(content: bytes, path: Path) -> bytes:
    """The archive packed anew, so that torch reads what was looked at."""
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as kept:
            infos = archive.infolist()
            if len({info.filename for info in infos}) != len(infos):
                raise ModelError(f"{path}: the archive has a member twice; save the program again")
            if sum(info.file_size for info in infos) > len(content) + _MOST_CODE:
                raise ModelError(f"{path}: the archive unpacks to more than its weights need; save the program again")
            sizes = {info.filename.partition("/")[2]: info.file_size for info in infos}
            for info in infos:
                member = archive.read(info)
                inside = info.filename.partition("/")[2]
                if inside.startswith("code/") and not inside.endswith("debug_pkl"):
                    _check_code(member, path)
                if inside in ("data.pkl", "constants.pkl"):
                    check_tensors(sizes, inside.removesuffix(".pkl"), member, path)
                if not inside.endswith("debug_pkl") and not inside.startswith("extra/"):
                    kept.writestr(zipfile.ZipInfo(info.filename), member)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, OSError, EOFError) as error:
        raise ModelError(
            f"{path}: the file is damaged, cut off or not written by torch.jit.save ({_line(error)}); copy or save it "
            "again"
        ) from error
    return buffer.getvalue()


def _check_code(code: bytes, path: Path) -> None:
    text = code.decode("utf-8", "replace")
    named = _FILES.search(text)
    if named or len(re.findall(r"\bops\b", text)) != len(_OPERATORS.findall(text)):
        what = f"names {named[1]!r}" if named else "calls operators that are not torch's own"
        raise ModelError(
            f"{path}: the code of the TorchScript program {what}, with which files could be read or written, so it was "
            "refused; save its state dict"
        )


def _traced_sizes(content: bytes) -> tuple[int, int, int, int] | None:
    """(N, C, H, W) of the images it was traced with, read off the words of a pickle that is not opened."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/traced_inputs.pkl"))
            steps = list(pickletools.genops(archive.read(name)[:65_536]))
    except (StopIteration, ValueError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    run: list[int] = []
    for code, value, _ in steps:
        if code.name.startswith(("BININT", "INT", "LONG")) and isinstance(value, int):
            run.append(value)
        elif code.name == "TUPLE" and len(run) >= 4 and min(run[-4:]) > 0 and max(run[-4:]) <= 4096:
            return run[-4], run[-3], run[-2], run[-1]
        elif code.name not in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            run = []
    return None


def _channels(program: torch.jit.ScriptModule) -> tuple[int, ...]:
    """Channels of its images, by its first filters; else grey and colour."""
    first = next((t for t in program.state_dict().values() if t.ndim == 4), None)
    return (3, 1) if first is None else (int(first.shape[1]),)


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line or "RuntimeError" in line]
    return ((told or lines or [type(error).__name__])[-1 if told else 0])[:160]
