"""The ends of a network's blocks, chosen by its structure alone; `models/tree.py` looks at shapes and costs."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from fssd_core.errors import ModelError

MAX_LAYERS = 64
_FOLLOWERS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
_ACTIVATIONS = tuple(
    cls
    for cls in vars(nn.modules.activation).values()
    if isinstance(cls, type) and cls.__module__ == nn.modules.activation.__name__
)


FEW = 5  # a network that shows fewer block ends than this has its largest container opened


def default_layers(module: nn.Module) -> tuple[str, ...]:
    """Names of sensible block outputs: the module's own `taps`, else the ends of its top-level blocks.

    A block is a container child (a stage of a residual network), or a layer with weights together with the
    normalisation and activation that follow it, so that features are read after the activation. Nested `Sequential`s of
    plain layers are opened, and where fewer than 5 ends are found, the largest container of at least 3 blocks
    ('features', 'encoder.layers'). The last one is the logits. A forward pass may not reach all of them or give tokens:
    `models.tree.choose_layers` looks.

    Raises:
        ModelError: no layer with weights.
    """
    own = getattr(module, "taps", None)
    if isinstance(own, tuple | list) and own:
        return tuple(str(name) for name in own)
    names = list(_block_ends(module, ""))
    if not names:
        raise ModelError("no layer with weights was found; name the layers to read")
    if len(names) < FEW and (largest := _largest(module, names)):
        inside = [*_block_ends(module.get_submodule(largest), f"{largest}.")]
        if largest not in names:  # it lies in a container: what follows it there is an end too
            outer = next(n for n in names if largest.startswith(f"{n}."))
            around = [*_block_ends(module.get_submodule(outer), f"{outer}.")]
            inside = [n for end in around for n in (inside if end == largest else [end])]
            largest = outer
        names = [n for end in names for n in (inside if end == largest else [end])]
    while len(names) > MAX_LAYERS:
        names = [*names[:-1:2], names[-1]]
    return tuple(names)


def kind_of(module: nn.Module) -> type[nn.Module]:
    """The module's class; inside an exported program that of torch.nn which it was made from."""
    name = getattr(module, "_ty", None)
    if isinstance(name, str) and name.startswith("torch.nn.modules."):
        found = getattr(nn, name.rpartition(".")[2], None)
        if isinstance(found, type) and issubclass(found, nn.Module):
            return found
    return type(module)


def kind_name(module: nn.Module) -> str:
    """The name of the module's class; inside an exported program that of the class it was made from."""
    name = getattr(module, "_ty", None)
    return name.rpartition(".")[2] if isinstance(name, str) and name else type(module).__name__


def _weighted(module: nn.Module) -> dict[str, int]:
    """{child: number of its parameters} of the children that have any."""
    counts = {name: sum(p.numel() for p in child.parameters()) for name, child in module.named_children()}
    return {name: count for name, count in counts.items() if count}


def _largest(module: nn.Module, names: list[str]) -> str | None:
    """The container of at least 3 blocks with most parameters among these, or inside one that it fills to 90 %."""
    found: dict[str, int] = {}
    for end in names:
        name, inner = end, module.get_submodule(end)
        inside = _weighted(inner)
        while inside and max(inside.values()) > 0.9 * sum(inside.values()) and any(inner.children()):
            main = max(inside, key=inside.__getitem__)
            name, inner = f"{name}.{main}", inner.get_submodule(main)
            inside = _weighted(inner)
        if len(inside) > 2 and name.count(".") - end.count(".") <= 1:
            found[name] = sum(inside.values())
    return max(found, key=found.__getitem__) if found else None


def _block_ends(module: nn.Module, prefix: str) -> Iterator[str]:
    pending: str | None = None
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        has_weights = any(True for _ in child.parameters())
        is_leaf = not any(True for _ in child.children())
        if pending is not None and is_leaf and issubclass(kind_of(child), (*_FOLLOWERS, *_ACTIVATIONS)):
            pending = path
            continue
        if pending is not None:
            yield pending
            pending = None
        if not has_weights:
            continue
        leaves_inside = issubclass(kind_of(child), nn.Sequential) and all(
            not any(True for _ in grand.children()) for grand in child.children()
        )
        if is_leaf:
            pending = path
        elif type(child).forward is nn.Module.forward or (leaves_inside and len(_weighted(child)) > 2):
            # a list of modules, which is never called itself, or plain layers in a row
            yield from _block_ends(child, f"{path}.")
        else:
            yield path
    if pending is not None:
        yield pending
