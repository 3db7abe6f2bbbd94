"""`torch.export` programs (.pt2) as ordinary modules: their tree of layers, any number of images, any device."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.unflatten import InterpreterModule, UnflattenedModule
from torch.utils import _pytree as pytree

from fssd_core.errors import ModelError, first_line
from fssd_core.models.program_vetting import Vetted
from fssd_core.runtime import ANY_NUMBER, joined, pieces

MANY = 256  # a program that takes at least so many images at once takes any number


@dataclass(frozen=True, eq=False)
class Nest:
    """The nest of tuples, lists and dicts that a program gives; copies of the program share it."""

    spec: Any

    def __deepcopy__(self, memo: object) -> Nest:
        return self


class Program(UnflattenedModule):
    """An exported program with its modules; takes (N, C, H, W) in pieces where it was exported for few images.

    Attributes:
        images_at_once: (fewest, most) that one run takes.
        sizes: (smallest, largest or None) of channels, height and width.
    """

    images_at_once: tuple[int, int]
    sizes: tuple[tuple[int, int | None], ...]
    nest: Nest

    def forward(self, images: Tensor) -> Any:
        """What the program gives, in the nest of tuples, lists and dicts that the network gave.

        Raises:
            RuntimeError: images of another shape than it was exported for.
        """
        for name, size, (low, high) in zip("CHW", images.shape[1:], self.sizes, strict=True):
            if size < low or (high is not None and size > high):
                allowed = f"{low}" if low == high else f"{low} to {high}" if high else f"at least {low}"
                raise RuntimeError(f"the program was exported for {name} = {allowed}, {size} was given")
        low, high = self.images_at_once
        if low <= len(images) <= high:
            return self._once(images)
        return joined([self._once(piece) for piece in pieces(images, self.images_at_once)], len(images))

    def _once(self, images: Tensor) -> Any:
        values = run_graph(self, images)
        return pytree.tree_unflatten(values, self.nest.spec)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Program:
        """Moves tensors, and with them the devices that the program names for tensors it makes."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = fn(torch.empty(0)).device
        for graph in _graphs(self):
            for node in graph.nodes:
                for place, values in (("kwargs", node.kwargs), ("args", dict(enumerate(node.args)))):
                    changed = {k: device if isinstance(v, torch.device) else v for k, v in values.items()}
                    if any(isinstance(v, torch.device) for v in values.values()):
                        setattr(node, place, changed if place == "kwargs" else tuple(changed.values()))
        return self


class Part(InterpreterModule):
    """A module inside a program."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Runs its graph; keywords follow in the order of its placeholders."""
        return run_graph(self, *args, *(kwargs[name] for name in self.arg_names[len(args) :]))


def run_graph(module: Any, *args: Any) -> Any:
    """The module's graph, node by node; not `Interpreter.run`, which asks for a progress bar's lock in every pass.

    That lock, once a thread ended while it held it, stops all other threads of the server.
    """
    runner = torch.fx.Interpreter(module, graph=module.graph)
    runner.env, runner.args_iter = {}, iter(args)
    for node in module.graph.nodes:
        runner.env[node] = runner.run_node(node)
        if node.op == "output":
            break
        for spent in runner.user_to_last_uses.get(node, ()):
            del runner.env[spent]
    return runner.env[node]


def open_export(vetted: Vetted, path: Path) -> Program:
    """The network of a program that was looked through.

    Raises:
        ModelError: torch cannot make it, or its weights are not finite float32 numbers.
    """
    try:
        with _quiet():
            exported = torch.export.load(io.BytesIO(vetted.archive))
            module: Any = torch.export.unflatten(exported)
    except Exception as error:  # whatever torch's reader stumbles over in a strange file
        first = first_line(error)
        raise ModelError(
            f"{path}: torch {torch.__version__} cannot read the program ({type(error).__name__}: {first}); it is "
            "damaged or of another version: export it again, or save its state dict"
        ) from error
    module.__class__ = Program
    program: Program = module
    program.__dict__.pop("process_forward_inputs", None)
    program.nest = Nest(program.module_call_graph[0].signature.out_spec)
    program.module_call_graph = []
    for module in _with_calls(program):
        if type(module) is InterpreterModule:
            module.__class__ = Part
    for graph in _graphs(program):
        for node in graph.nodes:
            node.meta = {}  # shapes as of the export, which nothing reads and no copy can be made of
    for name, tensor in [*program.named_parameters(), *program.named_buffers()]:
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ModelError(
                f"{path}: weights {name!r} are {str(tensor.dtype).removeprefix('torch.')}; programs compute in the "
                "type they were exported in, and float32 is needed: export model.float()"
            )
    program.requires_grad_(False)
    (fewest, most, _), *rest = vetted.sizes
    program.images_at_once = (fewest, most if most is not None else max(MANY, fewest))
    if most is None or most >= MANY:
        program.images_at_once = (fewest, ANY_NUMBER)
    program.sizes = tuple((low, high) for low, high, _ in rest)
    return program


def _graphs(program: nn.Module) -> Iterator[torch.fx.Graph]:
    seen: set[int] = set()
    for inner in _with_calls(program):
        for graph in (inner.__dict__.get("graph"), getattr(inner.__dict__.get("graph_module"), "graph", None)):
            if isinstance(graph, torch.fx.Graph) and id(graph) not in seen:
                seen.add(id(graph))
                yield graph


def _with_calls(program: nn.Module) -> Iterator[Any]:
    """All its modules, and of a module that is called several times the module of each call."""
    for module in program.modules():
        yield module
        yield from getattr(module, "_call_modules", ())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's own warnings on old names, and its traceback of a failure that is told by an error."""
    log = logging.getLogger("torch.export")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
