"""A small DenseNet and a bidirectional LSTM that reads an image row by row; taps are submodules that give tensors."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssd_core.models.nets import Shape, activated

LONG = 64  # rows; a longer sequence (DNA reads) starts with gates that remember it


class DenseNet(nn.Module):
    """Densely connected network for small images (Huang et al. 2017): three blocks of three 3x3 convolutions, growth 8.

    Each convolution sees the outputs of all before it in its block; between blocks a 1x1 convolution halves the
    channels, and 2x2 averaging halves the sides there and after the stem. 20,878 parameters for 1x28x28 and 10
    classes. Taps: stem, block1..block3 (all of a block's channels, normalised and activated, before pooling), pooled
    (channel means), logits. Dropout acts on the channel means.
    """

    taps = ("stem", "block1", "block2", "block3", "pooled", "logits")

    def __init__(self, classes: int, input_shape: Shape, *, activation: str = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        growth, layers = 8, 3
        first = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(16), activated(activation))
        self.block1 = _dense_block(16, growth, layers, activation)
        self.shrink1 = nn.Conv2d(40, 20, 1, bias=False)
        self.block2 = _dense_block(20, growth, layers, activation)
        self.shrink2 = nn.Conv2d(44, 22, 1, bias=False)
        self.block3 = _dense_block(22, growth, layers, activation)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(46, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        x = F.avg_pool2d(self.stem(x), 2)
        x = F.avg_pool2d(self.shrink1(self.block1(x)), 2)
        x = F.avg_pool2d(self.shrink2(self.block2(x)), 2)
        logits: Tensor = self.logits(self.dropout(self.pooled(self.block3(x))))
        return logits


class _DenseLayer(nn.Module):
    """Adds `growth` channels, computed from all that are there: normalisation, activation, 3x3 convolution."""

    def __init__(self, channels: int, growth: int, activation: str) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.act = activated(activation)
        self.conv = nn.Conv2d(channels, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(self.act(self.norm(x)))], 1)


def _dense_block(channels: int, growth: int, layers: int, activation: str) -> nn.Sequential:
    inside = [_DenseLayer(channels + k * growth, growth, activation) for k in range(layers)]
    return nn.Sequential(*inside, nn.BatchNorm2d(channels + layers * growth), activated(activation))


class RowLSTM(nn.Module):
    """A bidirectional LSTM over the rows of an image, 64 units each way, then 64 hidden units.

    56,522 parameters for 1x28x28 and 10 classes. Taps: hidden (the states at all rows), last (each direction's state
    after its last row), fc1 (activated), logits. The activation is that of fc1: an LSTM's own gates are sigmoids and
    tanh whatever is chosen. Dropout acts on the last states and on fc1.
    """

    taps = ("hidden", "last", "fc1", "logits")

    def __init__(self, classes: int, input_shape: Shape, *, activation: str = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        channels, rows, width = input_shape
        units = 64
        self.hidden = BiLSTM(channels * width, units)
        if rows > LONG:
            self.hidden.remember(rows)
        self.last = _Ends(units)
        self.fc1 = nn.Sequential(nn.Linear(2 * units, 64), activated(activation))
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes)."""
        rows = x.transpose(1, 2).flatten(2)  # (N, H, C * W)
        last = self.dropout(self.last(self.hidden(rows)))
        logits: Tensor = self.logits(self.dropout(self.fc1(last)))
        return logits


class BiLSTM(nn.Module):
    """One bidirectional LSTM layer in plain tensor operations: (N, T, I) -> (N, T, 2 units), forward states first.

    As `nn.LSTM(bidirectional=True, batch_first=True)` with one bias, but it gives a single tensor, can be
    differentiated in eval mode on every device, and twice (forward-mode and `torch.func` included).
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weight_in = nn.Parameter(torch.empty(2, 4 * units, inputs))
        self.weight_state = nn.Parameter(torch.empty(2, 4 * units, units))
        self.bias = nn.Parameter(torch.empty(2, 4 * units))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(units), 1 / math.sqrt(units))

    def remember(self, steps: int) -> None:
        """Sets the gates' biases so that memories of 1 to `steps` steps are there from the start.

        b_f = log u with u drawn from U(1, steps - 1), b_i = -b_f  (Tallec and Ollivier 2018, arXiv:1804.11188).
        """
        with torch.no_grad():
            enter, forget = self.bias.chunk(4, 1)[:2]
            forget.uniform_(1, steps - 1).log_()
            enter.copy_(-forget)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, I) -> (N, T, 2 units)."""
        both = torch.stack([x, x.flip(1)])  # (2, N, T, I): the second direction reads from the end
        fed = torch.einsum("dnti,dgi->tdng", both, self.weight_in) + self.bias[:, None]  # (T, 2, N, 4 units)
        recur = self.weight_state.transpose(1, 2)
        state = cell = torch.zeros_like(fed[0, ..., : self.weight_state.shape[2]])  # (2, N, units)
        states = []
        for step in fed:
            enter, forget, value, leave = (step + torch.bmm(state, recur)).chunk(4, -1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(value)
            state = torch.sigmoid(leave) * torch.tanh(cell)
            states.append(state)
        ahead, back = torch.stack(states, 2)  # each (N, T, units)
        return torch.cat([ahead, back.flip(1)], -1)


class _Ends(nn.Module):
    """(N, T, 2 units) -> (N, 2 units): the forward state at the last row, the backward state at the first."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def forward(self, states: Tensor) -> Tensor:
        return torch.cat([states[:, -1, : self.units], states[:, 0, self.units :]], -1)
