"""For all tests: one torch thread, so that tests side by side do not fight for the cores; the same examples."""

from __future__ import annotations

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
