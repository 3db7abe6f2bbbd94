"""What of a .pt2 file reaches torch: an archive packed anew from raw weights and a program of plain operators.

`torch.export.load` unpickles whatever a file marks as pickled, resolves names of functions below `torch`, evaluates
expressions of sizes as Python and writes names into code. So every word of the program is looked at first, by a list
of what is allowed; pickles, compiled code and operators that name files never reach it.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from fssd_core.errors import ModelError

FACTS = "extra/fssd.json"  # the project's own member of an archive: normalisation, layers, input shape
_MOST_TEXT = 64 * 2**20  # bytes of a program's JSON
_MOST_DEPTH = 60
_WORD = re.compile(r"[A-Za-z0-9_.@+-]*")
_NAME = re.compile(r"[A-Za-z0-9_@]+(\.[A-Za-z0-9_@]+)*|")
_STACK = re.compile(r"[\w.,;@<>\[\]()' -]*")
_ATEN = re.compile(r"torch\.ops\.aten\.([a-z_0-9A-Z]+)\.([a-z_0-9A-Z]+)")
_SCALAR = re.compile(
    r"_operator\.(getitem|add|sub|mul|floordiv|mod|neg|truediv|eq|ne|lt|le|gt|ge|and_|or_|not_|pow)"
    r"|torch\.sym_(int|float|max|min|not|sum)|math\.(ceil|floor|trunc)"
)
_TEXT_ARGUMENTS = frozenset(("approximate", "rounding_mode", "mode", "padding_mode", "indexing", "reduce", "padding",
                             "equation", "assert_msg", "interpolation", "norm"))  # fmt: skip
_SIZES = frozenset(("Symbol", "Integer", "Add", "Mul", "Pow", "Rational", "Max", "Min", "FloorDiv", "CeilDiv",
                    "CleanDiv", "Mod", "PythonMod", "ModularIndexing", "TruncToInt", "FloorToInt", "CeilToInt",
                    "IntTrueDiv", "ToFloat", "Equality", "Eq", "Ne", "Unequality", "StrictLessThan",
                    "StrictGreaterThan", "LessThan",
                    "GreaterThan", "And", "Or", "Not"))  # fmt: skip
_SYMBOL = re.compile(r"[a-z]{1,4}\d{1,6}")
_PATH = re.compile(r"(weight|tensor)_\d{1,9}")
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


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
    told = _Teller(path)
    program = _json(members, "models/model.json", told)
    try:
        _check_version(program, told)
        _vet(program, "", "", told, 0)
        for name in ("guards_code", "verifiers"):
            if name in program:
                program[name] = [] if name == "guards_code" else ["TRAINING"]
        graph = program["graph_module"]["graph"]
        program["graph_module"]["metadata"] = {}
        for node in graph["nodes"]:
            _vet_node(node, told)
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


class _Teller:
    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, what: str) -> NoReturn:
        raise ModelError(
            f"{self.path}: the program {what}, so it was refused; an exported program of plain torch operators and "
            "float32 weights is allowed. Its weights alone can be used: save the state dict"
        )


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
                    _Teller(path).refuse("holds compiled code")
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


def _json(members: dict[str, bytes], name: str, told: _Teller) -> Any:
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


def _check_version(program: dict[str, Any], told: _Teller) -> None:
    from torch._export.serde.schema import SCHEMA_VERSION

    given = program["schema_version"]["major"]
    if given != SCHEMA_VERSION[0]:
        raise ModelError(
            f"{told.path}: the program has schema version {given}, torch {torch.__version__} reads "
            f"{SCHEMA_VERSION[0]}; export it again with this torch, or save its state dict"
        )


def _vet(value: Any, key: str, parent: str, told: _Teller, depth: int) -> None:
    """Every string of the description by its place; metadata is cut down to the stack of modules."""
    if depth > _MOST_DEPTH:
        told.refuse("is nested too deeply")
    if isinstance(value, dict):
        if key == "metadata":
            _vet_metadata(value, told)
            return
        device = value.get("device")
        if isinstance(device, dict) and "type" in device:
            value["device"] = {"type": "cpu", "index": None}
        if isinstance(value.get("as_device"), dict):
            value["as_device"] = {"type": "cpu", "index": None}
        for name, inner in value.items():
            if not _WORD.fullmatch(name):
                told.refuse(f"has a name {name[:40]!r}")
            _vet(inner, name, key, told, depth + 1)
    elif isinstance(value, list):
        if key != "guards_code":  # Python, and dropped
            for inner in value:
                _vet(inner, key, parent, told, depth + 1)
    elif isinstance(value, str):
        _vet_text(value, key, told)
    elif isinstance(value, int) and abs(value) >= 2**63:
        told.refuse(f"has a number {str(value)[:30]}")


def _vet_text(text: str, key: str, told: _Teller) -> None:
    if key in ("in_spec", "out_spec"):
        _vet_spec(json.loads(text), told)
    elif key == "expr_str":
        _vet_size(text, told)
    elif key == "as_string":
        if not re.fullmatch(r"[\w ,>.()=<-]{0,400}", text):
            told.refuse(f"has a text {text[:40]!r}")
    elif not (_NAME if key in ("fqn", "name", "parameter_name", "buffer_name") else _WORD).fullmatch(text):
        told.refuse(f"has a word {text[:40]!r} at {key!r}")


def _vet_metadata(values: dict[str, Any], told: _Teller) -> None:
    stack = values.get("nn_module_stack")
    values.clear()
    if stack:
        kept = []
        for item in str(stack).split(";"):
            parts = re.split(r",(?![^\[(]*[\])])", item)
            if len(parts) != 3 or not _NAME.fullmatch(parts[1]) or not _STACK.fullmatch(item):
                told.refuse(f"has a module {item[:60]!r}")
            kept.append(",".join((re.sub(r"[^\w.@]", "_", parts[0]), parts[1], re.sub(r"[^\w.]", "_", parts[2]))))
        values["nn_module_stack"] = ";".join(kept)


def _vet_spec(spec: Any, told: _Teller) -> None:
    """[version, tree]: tuples, lists and dicts only; others may import what they name."""
    waiting = [spec[1]]
    while waiting:
        tree = waiting.pop()
        if tree["type"] not in _CONTAINERS:
            told.refuse(f"takes or gives a {str(tree['type'])[:60]!r}")
        context = json.loads(tree["context"]) if isinstance(tree["context"], str) else tree["context"]
        keys = context if isinstance(context, list) else [] if context is None else [context]
        if not all(isinstance(k, str) and _WORD.fullmatch(k) for k in keys):
            told.refuse(f"has names {str(context)[:60]!r}")
        waiting += tree["children_spec"]


def _vet_size(text: str, told: _Teller) -> None:
    """A size as sympy writes it, Symbol('s77', positive=True) and sums, products and quotients of them."""
    try:
        tree = ast.parse(text, mode="eval") if len(text) < 4000 else None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        tree = None
    if tree is None or not _is_size(tree.body, 0):
        told.refuse(f"has a size {text[:60]!r}")


def _is_size(node: ast.expr, depth: int) -> bool:
    if depth > 30:
        return False
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool | int) and abs(node.value) < 2**63
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.UAdd) and _is_size(node.operand, depth + 1)
    if isinstance(node, ast.BinOp):
        return (
            isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.FloorDiv | ast.Mod)
            and _is_size(node.left, depth + 1)
            and _is_size(node.right, depth + 1)
        )
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in _SIZES:
        return False
    named = all(k.arg is not None and isinstance(k.value, ast.Constant) and isinstance(k.value.value, bool)
                for k in node.keywords)  # fmt: skip
    if node.func.id == "Symbol":
        first = node.args[0] if len(node.args) == 1 else None
        return (
            named
            and isinstance(first, ast.Constant)
            and isinstance(first.value, str)
            and bool(_SYMBOL.fullmatch(first.value))
        )
    if node.func.id == "Pow" and (len(node.args) != 2 or ast.unparse(node.args[1]) not in _POWERS):
        return False
    return named and all(_is_size(inner, depth + 1) for inner in node.args)


_POWERS = tuple(f"Integer({n})" for n in (-1, 0, 1, 2, 3, 4))


def _vet_node(node: dict[str, Any], told: _Teller) -> None:
    """A call of an aten operator without texts that could be names of files, or of plain arithmetic on sizes."""
    target = node["target"]
    if _SCALAR.fullmatch(target):
        return
    found = _ATEN.fullmatch(target)
    operator = getattr(getattr(torch.ops.aten, found[1], None), found[2], None) if found else None
    if not isinstance(operator, torch._ops.OpOverload):
        told.refuse(f"calls {target[:80]!r}")
    texts = [a.name for a in operator._schema.arguments if "str" in str(a.type) and a.name not in _TEXT_ARGUMENTS]
    if texts:
        told.refuse(f"calls {target!r}, which takes a text ({', '.join(texts)})")
    for argument in node["inputs"]:
        if argument["name"] in ("training", "train", "use_input_stats") and argument["arg"].get("as_bool") is True:
            raise ModelError(
                f"{told.path}: the program was exported in training mode ({target} has {argument['name']}=True); call "
                "model.eval() and export it again"
            )


def _tensors(members: dict[str, bytes], kind: str, told: _Teller) -> dict[str, bytes]:
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
    _vet(values, "", "", told, 0)
    return {table: json.dumps(values).encode(), **kept}


def _plain_pickle(content: bytes, kind: str, told: _Teller) -> bytes:
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


def _input_sizes(program: dict[str, Any], told: _Teller) -> tuple[tuple[int, int | None, int], ...]:
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
