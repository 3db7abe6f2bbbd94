"""What of a .pt2 file reaches torch: an archive packed anew from raw weights and a program of plain operators.

`torch.export.load` unpickles whatever a file marks as pickled, resolves names of functions below `torch`, evaluates
expressions of sizes as Python and writes names into code. So every word of the program is looked at first, by a list
of what is allowed; pickles, compiled code and operators that name files never reach it.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fssd_core.errors import ModelError
from fssd_core.models.program_words import Teller, vet_node, vet_words

FACTS = "extra/fssd.json"  # the project's own member of an archive: normalisation, layers, input shape
_MOST_TEXT = 64 * 2**20  # bytes of a program's JSON
_PATH = re.compile(r"(weight|tensor)_\d{1,9}")


@dataclass(frozen=True, eq=False)
class Vetted:
    """A program that may be given to torch.

    Attributes:
        archive: packed anew, without any pickle.
        sizes: of its one input, (smallest, largest, as exported) of each dimension; largest None where unbounded.
        facts: text of the project's own member, empty where there is none.
    """

    archive: bytes
    sizes: tuple[tuple[int, int | None, int], ...]
    facts: str


def vet_export(content: bytes, path: Path) -> Vetted:
    """Looks through a .pt2 file without opening a pickle or resolving a name.

    Raises:
        ModelError: damaged, of another layout, with more than weights and plain operators, or of another input.
    """
    members = _members(content, path)
    told = Teller(path)
    program = _json(members, "models/model.json", told)
    try:
        _check_version(program, told)
        vet_words(program, "", "", told, 0)
        for name in ("guards_code", "verifiers"):
            if name in program:
                program[name] = [] if name == "guards_code" else ["TRAINING"]
        graph = program["graph_module"]["graph"]
        program["graph_module"]["metadata"] = {}
        for node in graph["nodes"]:
            vet_node(node, told)
        packed = {
            "archive_format": b"pt2", "archive_version": members.get("archive_version", b"0"), "byteorder": b"little",
            ".data/version": b"6\n", "models/model.json": json.dumps(program).encode(),
            "data/sample_inputs/model.pt": b"",
        }  # fmt: skip
        for kind in ("weights", "constants"):
            packed.update(_tensors(members, kind, told))
        sizes = _input_sizes(program, told)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: its program cannot be read ({type(error).__name__}: {str(error)[:120]}); it is damaged, or of "
            "another version of torch: export it again"
        ) from error
    return Vetted(_packed(packed), sizes, members.get(FACTS, b"").decode("utf-8", "replace"))


def _members(content: bytes, path: Path) -> dict[str, bytes]:
    """Every member below the archive's one folder."""
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            if "serialized_exported_program.json" in names:
                raise ModelError(
                    f"{path}: the program was exported by torch 2.7 or older; load and save it again there with 2.8 or "
                    "newer, or save its state dict"
                )
            if any(info.compress_type != zipfile.ZIP_STORED for info in infos) or len(set(names)) != len(names):
                raise ModelError(f"{path}: torch.export.save did not write this archive; export the program again")
            for info in infos:
                name = info.filename.partition("/")[2]
                if "aotinductor" in name or "executorch" in name or name.endswith((".so", ".cubin")):
                    Teller(path).refuse("holds compiled code")
                if name.partition("/")[0] in ("models", "data", "archive_version", "archive_format") or name == FACTS:
                    if name in found:
                        raise ModelError(f"{path}: the archive has two members {name!r}; export the program again")
                    if "sample_inputs" not in name:
                        found[name] = archive.read(info)
    except (zipfile.BadZipFile, RuntimeError, ValueError, OSError, EOFError, NotImplementedError) as error:
        raise ModelError(
            f"{path}: the file is damaged, cut off or not written by torch.export.save "
            f"({str(error)[:120] or type(error).__name__}); copy or save it again"
        ) from error
    if found.get("archive_format") != b"pt2" or "models/model.json" not in found:
        raise ModelError(f"{path}: it holds no exported program; write it with torch.export.save")
    return found


def _json(members: dict[str, bytes], name: str, told: Teller) -> Any:
    content = members.get(name, b"")
    if len(content) > _MOST_TEXT:
        told.refuse(f"has a description of more than {_MOST_TEXT // 2**20} MiB")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{told.path}: its member {name!r} is damaged or missing; copy or save it again") from error
    if not isinstance(values, dict):
        raise ModelError(f"{told.path}: its member {name!r} is no description; copy or save it again")
    return values


def _check_version(program: dict[str, Any], told: Teller) -> None:
    from torch._export.serde.schema import SCHEMA_VERSION

    given = program["schema_version"]["major"]
    if given != SCHEMA_VERSION[0]:
        raise ModelError(
            f"{told.path}: the program has schema version {given}, torch {torch.__version__} reads "
            f"{SCHEMA_VERSION[0]}; export it again with this torch, or save its state dict"
        )


def _tensors(members: dict[str, bytes], kind: str, told: Teller) -> dict[str, bytes]:
    """The raw values of one kind and their table."""
    folder = f"data/{kind}/"
    table = f"{folder}model_{kind}_config.json"
    if f"{folder}model.pt" in members and table not in members:
        return {f"{folder}model.pt": _plain_pickle(members[f"{folder}model.pt"], kind, told)}
    values = _json(members, table, told)
    kept = {}
    for name, entry in values["config"].items():
        if entry.get("use_pickle") is not False or not _PATH.fullmatch(entry["path_name"]):
            told.refuse(f"holds Python objects ({kind} {name[:60]!r})")
        kept[folder + entry["path_name"]] = members[folder + entry["path_name"]]
    vet_words(values, "", "", told, 0)
    return {table: json.dumps(values).encode(), **kept}


def _plain_pickle(content: bytes, kind: str, told: Teller) -> bytes:
    """What torch 2.8 wrote, where it is tensors alone; `torch.load` would else open it once more with code."""
    from fssd_core.models.weights import UNREADABLE

    try:
        values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UNREADABLE:
        told.refuse(f"holds Python objects among its {kind}, or damaged ones")
    if not isinstance(values, dict) or not all(isinstance(v, torch.Tensor) for v in values.values()):
        told.refuse(f"holds other {kind} than tensors")
    buffer = io.BytesIO()
    torch.save(values, buffer)
    return buffer.getvalue()


def _input_sizes(program: dict[str, Any], told: Teller) -> tuple[tuple[int, int | None, int], ...]:
    """The range of each dimension of the one float32 tensor that it takes."""
    module = program["graph_module"]
    users = [s["user_input"]["arg"] for s in module["signature"]["input_specs"] if "user_input" in s]
    if len(users) != 1 or "as_tensor" not in users[0]:
        raise ModelError(f"{told.path}: the program takes {len(users)} inputs; one tensor of images is allowed")
    meta = module["graph"]["tensor_values"][users[0]["as_tensor"]["name"]]
    if len(meta["sizes"]) != 4 or meta["dtype"] != _FLOAT32:
        raise ModelError(
            f"{told.path}: the program takes a tensor of {len(meta['sizes'])} dimensions and scalar type "
            f"{meta['dtype']}; images are float32 (N, C, H, W): export it so, as model.float()"
        )
    ranges = program["range_constraints"]
    sizes: list[tuple[int, int | None, int]] = []
    for size in meta["sizes"]:
        if "as_int" in size:
            sizes.append((size["as_int"],) * 3)
        else:
            symbol = re.search(r"[a-z]{1,4}\d{1,6}", size["as_expr"]["expr_str"].replace("Symbol", ""))
            bounds = ranges.get(symbol[0], {}) if symbol else {}
            low, high = bounds.get("min_val") or 1, bounds.get("max_val")
            sizes.append((low, high, int((size["as_expr"].get("hint") or {}).get("as_int", low))))
    return tuple(sizes)


_FLOAT32 = 7  # of torch._export.serde.schema.ScalarType


def _packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"program/{name}"), content)
    return buffer.getvalue()
