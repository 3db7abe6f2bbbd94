"""For all tests: one torch thread, so that tests beside each other do not fight for the cores."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
