"""What a kernel block says, from its numbers: how alike each group's gradients are to those of training images."""

from __future__ import annotations

from collections.abc import Mapping

from fssd_core.kernel import Kernel
from fssd_core.speed_words import Statement


def kernel_statements(block: Kernel, *, titles: Mapping[str, str] | None = None) -> list[Statement]:
    """Three sentences: size of the kernel by group, likeness of the gradients by group, and within ind by class.

    Args:
        block: the measured block.
        titles: names for people by group name.
    """
    names = {g.name: (titles or {}).get(g.name, g.name) for g in block.groups}
    ind, oods = block.groups[0], [g for g in block.groups if g.kind == "ood"]
    out = []
    for measure, what in (("raw", "kernel to training images"), ("cosine", "cosine to training gradients")):
        values = {g.name: float(getattr(block, measure)[g.start : g.stop].mean()) for g in block.groups}
        base = values[ind.name]
        unit = base if measure == "raw" else 1.0
        told = ", ".join(f"{names[g.name]} {values[g.name] / unit:.2f}" for g in block.groups if g.kind != "ind")
        smaller = [names[g.name] for g in oods if values[g.name] < base]
        larger = [names[g.name] for g in oods if values[g.name] >= base]
        start = f"Mean {what}, " + ("over that of ind: " if measure == "raw" else f"ind {base:.2f}: ")
        if not oods:
            out.append(Statement("mixed", measure, f"{start}{told}."))
            continue
        end = "every ood set lies below ind" if not larger else f"not below ind: {', '.join(larger)}"
        verdict = "holds" if not larger else "mixed" if smaller else "fails"
        out.append(Statement(verdict, measure, f"{start}{told}; {end}."))
    labels = block.labels[ind.start : ind.stop]
    same = labels[:, None] == block.train_labels[None]
    if (labels >= 0).all() and same.any() and not same.all():
        cosine = block.cosine[ind.start : ind.stop]
        inside, across = float(cosine[same].mean()), float(cosine[~same].mean())
        words = (
            f"Within ind the mean cosine is {inside:.2f} to training images of the same class, {across:.2f} to others."
        )
        out.append(Statement("holds" if inside > across else "fails", "classes", words))
    if block.error:
        words = f"The trace is estimated; a pair's standard error is {block.error:.0%} in the median."
        out.append(Statement("mixed", "estimate", words))
    return out
