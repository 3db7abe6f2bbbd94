"""What a file's metadata says of its network: the shape of its images and how their pixels were normalised."""

from __future__ import annotations

import json
from pathlib import Path

from fssd_core.errors import ModelError
from fssd_core.models.nets import Shape

Moments = tuple[tuple[float, ...] | None, tuple[float, ...] | None]


def said_shape(path: Path, metadata: dict[str, str], measured: Shape) -> Shape:
    """(C, H, W) of the file where it says it, for some weights fit every size of image.

    Raises:
        ModelError: it is no three numbers.
    """
    if "input_shape" not in metadata:
        return measured
    try:
        channels, height, width = (int(n) for n in json.loads(metadata["input_shape"]))
        if min(channels, height, width) < 1 or max(channels, height, width) > 4096:
            raise ValueError("a number is outside 1 to 4096")
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{path}: its metadata `input_shape` {metadata['input_shape']!r} cannot be used ({error}); it is "
            "[channels, height, width]; save the file again"
        ) from error
    return channels, height, width


def said_normalisation(path: Path, metadata: dict[str, str], channels: int) -> Moments:
    """(mean, std) that a file's metadata says, None for plain pixels.

    Raises:
        ModelError: they are no numbers, or not one a channel.
    """
    try:
        mean, std = _numbers(metadata.get("mean", "")), _numbers(metadata.get("std", ""))
        if not mean and not std:
            return None, None
        if len(mean) != channels or len(std) != channels or not min(std) > 0:
            raise ValueError(f"mean {mean} and std {std} for {channels} channels")
        return mean, std
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{path}: its metadata `mean` and `std` cannot be used ({error}); save the file again"
        ) from error


def _numbers(text: str) -> tuple[float, ...]:
    """'[0.485, 0.456]', '0.485,0.456' or 'null' -> numbers."""
    words = text.strip().strip("[]()").replace(",", " ").split()
    return () if words in (["null"], ["None"]) else tuple(float(word) for word in words)
