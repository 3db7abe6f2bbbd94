"""Every word of an exported program's description, by a list of what is allowed at its place."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any, NoReturn

import torch

from fssd_core.errors import ModelError

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
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


class Teller:
    """Refuses a program, by the file's path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, what: str) -> NoReturn:
        """Raises the ModelError that says what the program does."""
        raise ModelError(
            f"{self.path}: the program {what}, so it was refused; an exported program of plain torch operators and "
            "float32 weights is allowed. Its weights alone can be used: save the state dict"
        )


def vet_words(value: Any, key: str, parent: str, told: Teller, depth: int) -> None:
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
            vet_words(inner, name, key, told, depth + 1)
    elif isinstance(value, list):
        if key != "guards_code":  # Python, and dropped
            for inner in value:
                vet_words(inner, key, parent, told, depth + 1)
    elif isinstance(value, str):
        _vet_text(value, key, told)
    elif isinstance(value, int) and abs(value) >= 2**63:
        told.refuse(f"has a number {str(value)[:30]}")


def _vet_text(text: str, key: str, told: Teller) -> None:
    if key in ("in_spec", "out_spec"):
        _vet_spec(json.loads(text), told)
    elif key == "expr_str":
        _vet_size(text, told)
    elif key == "as_string":
        if not re.fullmatch(r"[\w ,>.()=<-]{0,400}", text):
            told.refuse(f"has a text {text[:40]!r}")
    elif not (_NAME if key in ("fqn", "name", "parameter_name", "buffer_name") else _WORD).fullmatch(text):
        told.refuse(f"has a word {text[:40]!r} at {key!r}")


def _vet_metadata(values: dict[str, Any], told: Teller) -> None:
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


def _vet_spec(spec: Any, told: Teller) -> None:
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


def _vet_size(text: str, told: Teller) -> None:
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


def vet_node(node: dict[str, Any], told: Teller) -> None:
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
