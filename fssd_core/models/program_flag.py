"""The operator's flag for programs instead of weights: torch.export's .pt2 and TorchScript.

Only `--allow-exported-programs` (or $FSSD_EXPORTED_PROGRAMS, where it is kept for the worker process) opens one:
nothing that comes from a browser or a file. docs/your-own-model.md says what such a file may do.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from fssd_core.errors import ModelError

VARIABLE = "FSSD_EXPORTED_PROGRAMS"
FLAG = "--allow-exported-programs"
EXPORT, SCRIPT = "torch.export", "torchscript"  # in the place of an architecture's name
KINDS = (EXPORT, SCRIPT)
ENDING = ".pt2"


def allow_programs(allow: bool) -> None:
    """Lets programs be opened in this process and those it starts."""
    if allow:
        os.environ[VARIABLE] = "1"


def programs_allowed() -> bool:
    """Whether the operator allows programs."""
    return os.environ.get(VARIABLE) == "1"


def program_kind(path: Path) -> str | None:
    """'torch.export', 'torchscript' or None: what a file is, by its ending and its members."""
    if path.suffix.lower() == ENDING:
        return EXPORT
    return SCRIPT if path.suffix.lower() != ".safetensors" and is_script(path) else None


def is_script(path: Path) -> bool:
    """Whether it is an archive with TorchScript's code in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return False


def refusal(path: Path, kind: str) -> ModelError:
    """The error for a program where none is allowed: the flag, and the lines that convert it."""
    what, first, second = {
        EXPORT: ("an exported program (torch.export)", f"program = torch.export.load({str(path)!r})",
                 "torch.save(program.state_dict, 'weights.pt')"),
        SCRIPT: ("a TorchScript program", f"program = torch.jit.load({str(path)!r})",
                 "torch.save(program.state_dict(), 'weights.pt')"),
    }[kind]  # fmt: skip
    return ModelError(
        f"{path}: this is {what}, which is code; it is opened only where the operator started with {FLAG}. If you "
        f"trust it, save its weights:\n    {first}\n    {second}"
    )
