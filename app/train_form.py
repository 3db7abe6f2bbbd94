"""The form of a new run: every choice that decides its outcome, checked before a process is started."""

from __future__ import annotations

import streamlit as st

from app import session
from app.names import described, title_of
from fssd_core.data import list_data
from fssd_core.losses import LOSSES
from fssd_core.models import list_archs
from fssd_core.run_data import check_data
from fssd_core.run_spec import MAX_EPOCHS, MAX_OOD, USUAL_LR, RunSpec
from fssd_core.runs import RunInfo, start_run

ARCH_TITLES = {
    "lenet": "LeNet",
    "mlp": "MLP, two hidden layers",
    "densenet-small": "DenseNet, small",
    "bilstm": "bi-LSTM over rows",
    "resnet-cifar8": "ResNet-8",
    "resnet-cifar14": "ResNet-14",
}
ACTIVATION_TITLES = {"relu": "ReLU", "tanh": "Tanh"}
OPTIMISER_TITLES = {"adadelta": "Adadelta", "sgd": "SGD, momentum 0.9", "adamw": "AdamW"}


def train_form() -> RunInfo | None:
    """Draws the form; gives the run that was just started.

    Raises:
        FssdError: a choice that cannot be trained, or two runs are active.
    """
    archs = {name: entry for name, entry in list_archs().items() if entry.small}
    names = [*(d.name for d in list_data() if d.kind in ("bundled", "derived")), *session.own_files("data")]
    with st.container(border=True):
        one, two, three, four = st.columns(4)
        arch = one.selectbox(
            "Architecture", list(archs), index=list(archs).index("lenet"), key="t_arch",
            format_func=lambda name: ARCH_TITLES.get(name, name),
            help="\n".join(f"- {ARCH_TITLES.get(n, n)}: {e.title}" for n, e in archs.items()),
        )  # fmt: skip
        activation = two.segmented_control(
            "Activation", list(ACTIVATION_TITLES), default="relu", required=True, key="t_activation",
            format_func=ACTIVATION_TITLES.__getitem__,
        )  # fmt: skip
        loss = three.selectbox(
            "Loss", list(LOSSES), key="t_loss", format_func=lambda name: LOSSES[name].title,
            help="Triplet and instance discrimination train the last hidden layer; their logits are left out. "
            "Instance discrimination looks at no label: two changed views of an image must be alike.",
        )  # fmt: skip
        epochs = four.number_input("Epochs", 1, MAX_EPOCHS, 10, key="t_epochs", help="Passes over the images.")
        with st.expander("Data, optimiser, seed", icon=":material/tune:"):
            more = _more(names)
        pressed = st.button("Train", type="primary", icon=":material/model_training:", key="t_start")
    if not pressed:
        return None
    spec = RunSpec(arch=str(arch), activation=str(activation), loss=str(loss), epochs=int(epochs), **more)
    check_data(spec)
    return start_run(spec)


def _more(names: list[str]) -> dict:
    one, two = st.columns(2)
    data = one.selectbox(
        "Training images", names, index=names.index("fmnist:train"), key="t_data", format_func=described,
        help="With labels, unless the loss uses none. A test set that belongs to them is measured on; otherwise a "
        "sixth is held out.",
    )  # fmt: skip
    ood = two.multiselect(
        "Ood sets to watch", [n for n in names if n not in (data, "fmnist:train", "fmnist:test")],
        default=[n for n in ("photo-patches", "fmnist-inverted", "mnist") if n != data], key=f"t_ood:{data}",
        format_func=title_of, max_selections=MAX_OOD, help="150 images of each are measured about once a second.",
    )  # fmt: skip
    a, b, c, d, e = st.columns(5)
    optimiser = a.selectbox("Optimiser", list(USUAL_LR), key="t_optimiser", format_func=OPTIMISER_TITLES.__getitem__)
    lr = b.number_input(
        "Learning rate", 0.00001, 10.0, USUAL_LR[optimiser], format="%g", key=f"t_lr:{optimiser}",
        help="Of the first epoch; times 0.7 after each.",
    )  # fmt: skip
    batch = c.number_input("Batch size", 2, 2048, 64, key="t_batch")
    dropout = d.number_input(
        "Dropout", 0.0, 0.9, 0.0, 0.1, key="t_dropout", help="Share of hidden units left out while training."
    )
    seed = e.number_input("Seed", 0, 2**31, 0, key="t_seed", help="Of weights, order, dropout, noise and samples.")
    return {
        "data": str(data), "ood": tuple(ood), "optimiser": str(optimiser), "lr": float(lr), "batch_size": int(batch),
        "dropout": float(dropout), "seed": int(seed),
    }  # fmt: skip
