"""Small networks and how they are saved as programs, for the tests of .pt2 and TorchScript."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SHAPE = (1, 10, 10)


class Net(nn.Module):
    """A block with an in-place ReLU, a ReLU that is called twice, and an end of one of three kinds."""

    def __init__(self, end: str = "tensor") -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.conv = nn.Conv2d(4, 4, 3)
        self.act = nn.ReLU()
        self.fc = nn.Linear(4 * 6 * 6, 5)
        self.end = end

    def forward(self, x: Tensor) -> Any:
        hidden = self.act(self.conv(self.act(self.block(x))))
        logits = self.fc(hidden.flatten(1))
        if self.end == "tuple":
            return logits, hidden
        return {"hidden": hidden, "logits": logits} if self.end == "dict" else logits


LAYERS = ["block.0", "block", "act#2", "fc"]


def net(end: str = "tensor") -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = Net(end)
        with torch.no_grad():
            made.block[1].running_mean.normal_()
            made.block[1].running_var.uniform_(0.5, 2)
    return made.eval()


def export(module: nn.Module, path: Path, *, batch: int | None = None, shape: tuple[int, ...] = SHAPE) -> Path:
    """A .pt2 file; for any number of images, or for just `batch`."""
    example = torch.rand(batch or 2, *shape, generator=torch.Generator().manual_seed(0))
    dynamic = None if batch else ({0: torch.export.Dim("n")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, on its pytrees
        torch.export.save(torch.export.export(module, (example,), dynamic_shapes=dynamic), path)
    return path


def script(
    module: nn.Module, path: Path, *, trace: bool = True, batch: int = 2, shape: tuple[int, ...] = SHAPE
) -> Path:
    """A TorchScript file; torch.jit is deprecated, which is not news to who has such files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Any = torch.jit.trace(module, torch.rand(batch, *shape)) if trace else torch.jit.script(module)
        made.save(str(path))
    return path


def edited(path: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    """The archive with the member of that ending changed, as a forger would."""
    buffer, found = io.BytesIO(), 0
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as made:
        for info in archive.infolist():
            content = archive.read(info)
            if info.filename.endswith(member):
                content, found = change(content), found + 1
            made.writestr(zipfile.ZipInfo(info.filename), content)
    assert found == 1, (member, found)
    path.write_bytes(buffer.getvalue())
    return path
