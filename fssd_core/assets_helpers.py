"""Helper networks of the demo's other detectors: four more ensemble members, one with dropout, one outlier-exposed.

Each is one final checkpoint under assets/models, its weights rounded to float16 (half the size; read back as float32).
`python -m fssd_core.assets build --only helpers` trains them anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssd_core.assets import DEBIAN, DEMO_EPOCHS, DEMO_SEED, FASHION_CLASSES, assets_root, fashion, replaced, tensors

if TYPE_CHECKING:
    import torch

AUXILIARY_COUNT = 30_000


@dataclass(frozen=True)
class Helper:
    """One helper network.

    Attributes:
        folder: its folder under assets/models.
        title: what it is, for people.
        seed: of weights, order and dropout.
        dropout: share of hidden units left out in training.
        exposed: whether it is trained by outlier exposure.
    """

    folder: str
    title: str
    seed: int
    dropout: float = 0.0
    exposed: bool = False


HELPERS = (
    *(Helper(f"lenet-member{k}", f"LeNet, FashionMNIST, ensemble member {k}", k) for k in (1, 2, 3, 4)),
    Helper("lenet-dropout", "LeNet with dropout, FashionMNIST", DEMO_SEED, dropout=0.5),
    Helper("lenet-oe", "LeNet, FashionMNIST, outlier exposure", DEMO_SEED, exposed=True),
)


def build_helpers(source: Path = DEBIAN, only: Sequence[str] | None = None) -> None:
    """Trains the helper networks and puts each in place of the old one; about three to six minutes each on one core."""
    (images, labels), (test_images, test_labels) = (tensors(*fashion(part, source)) for part in ("train", "t10k"))
    for helper in HELPERS:
        if only is None or helper.folder in only:
            _build(helper, images, labels, test_images, test_labels)


def _build(
    helper: Helper, images: torch.Tensor, labels: torch.Tensor, test_images: torch.Tensor, test_labels: torch.Tensor
) -> None:
    import torch

    from fssd_core.data.auxiliary import AUXILIARY_SEED, drawn_pictures
    from fssd_core.detectors.outlier_exposure import outlier_exposure
    from fssd_core.models.archs import ARCHS
    from fssd_core.runtime import generator, threads
    from fssd_core.training import Loss, Recipe, accuracy, build, cross_entropy, save_checkpoint, train

    entry = ARCHS["lenet"]
    draws = generator(helper.seed)
    module = build("lenet", classes=10, input_shape=entry.input_shape, generator=draws, dropout=helper.dropout)
    options: dict[str, Any] = {"mean": (0.0,), "std": (1.0,)}  # plain pixels, said in full
    loss: Loss = cross_entropy
    more: dict[str, object] = {"dropout": helper.dropout} if helper.dropout else {}
    if helper.exposed:
        pictures = drawn_pictures(AUXILIARY_COUNT)
        loss = outlier_exposure(pictures.tensor(), generator=generator(AUXILIARY_SEED))
        more |= {"auxiliary": f"{AUXILIARY_COUNT:,} drawn pictures, seed {AUXILIARY_SEED}", "outlier_weight": 0.5}
    last = -(-len(images) // 64) * DEMO_EPOCHS
    with threads(1):  # the number of threads changes the last digits of a sum
        (point,) = train(
            module, images, labels, generator=draws, recipe=Recipe(epochs=DEMO_EPOCHS), device="cpu", loss=loss,
            checkpoints=[last], **options,
        )  # fmt: skip
        state = {name: tensor.half() for name, tensor in point.state.items()}
        module.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        right = accuracy(module, test_images, test_labels, **options)  # of the rounded weights, as they are shipped
    facts = {
        "title": helper.title, "arch": "lenet", "taps": ",".join(entry.taps), **options,
        "step": point.step, "epoch": point.epoch, "test_accuracy": right, "train_loss": point.loss,
        "seed": helper.seed, "torch": str(torch.__version__), "classes": FASHION_CLASSES, "rounded": "float16",
        "data": "FashionMNIST, 60,000 training images", **more,
    }  # fmt: skip
    target = assets_root() / "models" / helper.folder
    with replaced(target) as fresh:
        save_checkpoint(fresh / f"step-{point.step:05d}.safetensors", state, facts)
    print(f"{helper.folder}: loss {point.loss:.4f}, test accuracy {right:.4f}", flush=True)
