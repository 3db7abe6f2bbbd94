"""The authors' tiny network and the vectors their own code made with it (see tests/data/README.md)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

DATA = Path(__file__).parent / "data"
MEAN, STD = [0.2860], [0.3530]
LAYERS = ("pool1", "pool2", "relu3", "fc2")


class TinyLeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 5)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(8, 16, 5)
        self.relu2 = nn.ReLU()
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(256, 64)
        self.relu3 = nn.ReLU()
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool2(self.relu2(self.conv2(x)))
        return self.fc2(self.relu3(self.fc1(x.flatten(1))))


def tiny_lenet() -> TinyLeNet:
    model = TinyLeNet()
    model.load_state_dict(load_file(DATA / "tiny_lenet.safetensors"))
    return model


@cache
def vectors() -> dict[str, np.ndarray]:
    with np.load(DATA / "vectors.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def reference_metrics() -> dict[str, float]:
    return json.loads((DATA / "metrics.json").read_text())


def pixels(name: str) -> Tensor:
    """(N, 1, 28, 28) in [0, 1] of 'ind' or 'ood'."""
    return torch.from_numpy(vectors()[name]).float().div(255).unsqueeze(1)


def noise(kind: str) -> Tensor:
    """(100, 1, 28, 28) pixels of 'reference' (the authors' noise) or 'uniform'."""
    if kind == "uniform":
        return torch.from_numpy(vectors()["noise_uniform"])
    raw = torch.from_numpy(vectors()["noise_reference_u8"]).float()
    return (raw - 127.5) / 255 * STD[0] + MEAN[0]
