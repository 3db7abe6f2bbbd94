"""What is damaged and who reads it: a table of kinds, each with whole examples and the code that reads a user's."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.fuzz_damage import damaged, damaged_json
from fssd_core import bundle_file
from fssd_core.errors import InputError

ENTRY = Path(__file__).resolve().parents[1] / "app" / "main.py"


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        share: of all inputs, relative to the other kinds.
        examples: whole inputs by file ending.
        read: what the product does with such a file.
        limit: seconds one input may take.
    """

    share: float
    examples: Callable[[], list[tuple[str, bytes]]]
    read: Callable[[Path], object]
    limit: float = 30.0


def make_input(kind: str, number: int, *, seed: int) -> tuple[str, bytes]:
    """(file ending, content) of one damaged input: the same for the same three."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    examples = _examples(kind)
    ending, content = examples[int(rng.integers(len(examples)))]
    if ending.endswith(".json") and rng.random() < 0.7:
        values = json.loads(content)
        for _ in range(int(rng.integers(1, 4))):
            values = damaged_json(values, rng)
        return ending, json.dumps(values).encode()
    if ending == ".fssd" and rng.random() < 0.7:
        return ending, _forged(content, rng)
    if ending == ".pt2" and rng.random() < 0.5:
        return ending, _rewritten(content, rng)
    return ending, damaged(content, [c for _, c in examples], rng)


def _rewritten(content: bytes, rng: np.random.Generator) -> bytes:
    """An exported program with values of its description, or of its table of weights, exchanged."""
    buffer = io.BytesIO()
    wanted = "models/model.json" if rng.random() < 0.8 else "_config.json"
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(buffer, "w") as made:
        for name in archive.namelist():
            member = archive.read(name)
            if name.endswith(wanted):
                values = json.loads(member)
                for _ in range(int(rng.integers(1, 4))):
                    values = damaged_json(values, rng)
                member = json.dumps(values).encode()
            made.writestr(name, member)
    return buffer.getvalue()


def _forged(content: bytes, rng: np.random.Generator) -> bytes:
    """A bundle with damaged facts or tensors and, as a forger would, its digests made anew."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        facts, tensors = json.loads(archive.read(bundle_file.FACTS)), archive.read(bundle_file.TENSORS)
    if rng.random() < 0.2:
        tensors = damaged(tensors, [tensors], rng)
    else:
        facts = damaged_json(facts, rng)
    try:
        facts.pop("digest", None)
        facts["fss"]["sha256"] = hashlib.sha256(tensors).hexdigest()
        facts["digest"] = hashlib.sha256(bundle_file._text(facts)).hexdigest()
        return bundle_file._pack(bundle_file._text(facts), tensors)
    except Exception:  # noqa: BLE001 - facts that cannot even be signed
        return bundle_file._pack(json.dumps(facts).encode(), tensors)


@cache
def _examples(kind: str) -> list[tuple[str, bytes]]:
    return KINDS[kind].examples()


def _written(write: Callable[[Path], object], ending: str) -> tuple[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x{ending}")
        write(path)
        return ending, path.read_bytes()


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(256, size=shape, dtype=np.uint8)


def _images() -> list[tuple[str, bytes]]:
    colour, grey = Image.fromarray(_pixels(9, 11, 3)), Image.fromarray(_pixels(9, 11))
    deep = Image.fromarray(_pixels(9, 11).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    made = []
    for image, kind, options in [
        (colour, "PNG", {}), (grey, "PNG", {"exif": exif}), (deep, "PNG", {}), (colour.quantize(8), "PNG", {}),
        (colour.convert("RGBA"), "PNG", {}), (colour, "JPEG", {"exif": exif}), (colour, "JPEG", {"progressive": True}),
        (colour.convert("CMYK"), "JPEG", {}), (grey, "BMP", {}), (colour.quantize(8), "BMP", {}), (colour, "WEBP", {}),
        (colour, "WEBP", {"lossless": True, "exif": exif}), (colour, "GIF", {}), (grey, "TIFF", {}), (deep, "TIFF", {}),
        (colour, "TIFF", {"compression": "tiff_lzw"}), (grey.convert("1"), "TIFF", {"compression": "group4"}),
        (grey.convert("F"), "TIFF", {}), (colour, "TIFF", {"compression": "tiff_deflate"}),
        (colour, "TIFF", {"compression": "jpeg"}), (colour.convert("CMYK"), "TIFF", {"compression": "packbits"}),
    ]:  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made.append((f".{kind.lower()}", buffer.getvalue()))
    return made


def _zips() -> list[tuple[str, bytes]]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for k, (ending, content) in enumerate(_images()[:6]):
                archive.writestr(f"set/{'ab'[k % 2]}/{k}{ending}", content)
        made.append((".zip", buffer.getvalue()))
    return made


def _arrays() -> list[tuple[str, bytes]]:
    images = _pixels(6, 8, 8)
    labels, classes = np.arange(6) % 2, np.array(["cat", "dog"])
    return [
        _written(lambda p: np.savez(p, images=images, labels=labels, classes=classes), ".npz"),
        _written(lambda p: np.savez_compressed(p, images=_pixels(3, 8, 8, 3)), ".npz"),
        _written(lambda p: np.save(p, images), ".npy"),
    ]


def _fasta() -> list[tuple[str, bytes]]:
    letters = np.frombuffer(b"ACGTN", np.uint8)[_pixels(1200) % 5 % 4].tobytes()
    text = b">one\n" + letters[:700] + b"\n>two words\n" + letters[700:] + b"\n"
    return [(".fasta", text), (".fa.gz", gzip.compress(text))]


def _lists() -> list[tuple[str, bytes]]:
    return [(".csv", b"path,label\nx.png,1\na/b.png,2\n../y.png,3\n"), (".tsv", b"file\tclass\nx.png\tcat\n\n")]


def _tables() -> list[tuple[str, bytes]]:
    import pyarrow
    import pyarrow.parquet

    pictures = [content for _, content in _images()[:5]]
    names = {b"huggingface": json.dumps({"info": {"features": {"label": {"names": ["a", "b"]}}}}).encode()}
    flat = pyarrow.table({"image": pictures, "label": [0, 1, 0, 1, 0]}).replace_schema_metadata(names)
    nested = pyarrow.table({"image": [{"bytes": p, "path": "x"} for p in pictures], "label": ["a", "b", "a", "b", "a"]})
    return [
        _written(lambda p, t=table, c=packing: pyarrow.parquet.write_table(t, p, compression=c), ".parquet")
        for table in (flat, nested)
        for packing in ("snappy", "none", "zstd")
    ]


def _weights() -> list[tuple[str, bytes]]:
    import torch
    from safetensors.torch import save_file

    state = {
        "module.conv.weight": torch.randn(4, 1, 3, 3), "module.conv.bias": torch.randn(4),
        "module.bn.num_batches_tracked": torch.tensor(3), "module.fc.weight": torch.randn(2, 5).half(),
    }  # fmt: skip
    meta = {"arch": "lenet", "mean": "[0.5]", "std": "[0.5]", "input_shape": "[1, 28, 28]", "classes": '["a"]'}
    return [
        _written(lambda p: save_file(state, p, metadata=meta), ".safetensors"),
        _written(lambda p: torch.save(state, p), ".pt"),
        _written(lambda p: torch.save({"state_dict": state, "epoch": 3}, p), ".pth"),
        _written(lambda p: torch.save(state, p, _use_new_zipfile_serialization=False), ".pt"),
    ]


def _checkpoints() -> list[tuple[str, bytes]]:
    """A whole small network, so that the damage meets the code that builds it."""
    path = Path(__file__).resolve().parents[1] / "tests" / "data" / "tiny_lenet.safetensors"
    whole = sorted((ENTRY.parents[1] / "assets" / "models" / "lenet").glob("*.safetensors"))[0]
    return [(".safetensors", path.read_bytes()), (".safetensors", whole.read_bytes())]


def _programs() -> list[tuple[str, bytes]]:
    """A small network as torch.export and as TorchScript write it."""
    import warnings

    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = (nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
        net, images = nn.Sequential(*layers).eval(), torch.rand(2, 1, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        any_number = torch.export.export(net, (images,), dynamic_shapes=({0: torch.export.Dim("n")},))
        just_two = torch.export.export(net, (images,))
        return [
            _written(lambda p: torch.export.save(any_number, p), ".pt2"),
            _written(lambda p: torch.export.save(just_two, p), ".pt2"),
            _written(lambda p: torch.jit.trace(net, images).save(str(p)), ".pt"),
        ]


def _bundles() -> list[tuple[str, bytes]]:
    from fssd_core.bundle import make_bundle
    from fssd_core.ensemble import uniform
    from fssd_core.operating_point import Choice
    from fssd_core.study import Study

    study = Study(samples=150, ood=("mnist",), layers=("logits",))
    bundle = make_bundle(
        study, uniform(("logits",)), epsilon=0.0, threshold=8.0, chosen=Choice("hand"), date="2026-01-31T12:00:00+00:00"
    )
    return [(".fssd", bundle_file.bundle_bytes(bundle))]


def _studies() -> list[tuple[str, bytes]]:
    from fssd_core.run_spec import RunSpec
    from fssd_core.study import Study

    study = Study(model="demo/lenet", samples=8, points=8)
    return [
        (".study.json", json.dumps(dataclasses.asdict(study)).encode()),
        (".study.json", json.dumps({"ood": ["mnist"], "epsilon": 0.1, "layers": ["conv1"]}).encode()),
        (".run.json", json.dumps(RunSpec().to_json()).encode()),
    ]


def _addresses() -> list[tuple[str, bytes]]:
    return [
        (".features.url", b"model=demo/lenet&step=13132&ind=fmnist:test&ood=mnist&n=200&layer=conv2&view=UMAP"),
        (".tuning.url", b"alpha=0.1,0.9,-1,0&epsilon=0.01&choose=fpr:0.05&rule=manual&ood=mnist&n=200&threshold=1.5"),
        (".film.url", b"film_step=300&film_radius=median&film_view=PCA&n=200&ood=mnist&present=true"),
        (".inspect.url", b"set=mnist&row=3&ood=mnist&n=200&source=From a set&lesson=3"),
        (".train.url", b"runs=a,b,../c&n=200&ood=mnist"),
    ]


def _read_data(path: Path) -> object:
    from fssd_core.data import load_data

    if path.name.endswith((".csv", ".tsv")):
        path.with_name("x.png").write_bytes(_examples("images")[0][1])
    loaded = load_data(str(path))
    shape = (1, 250, 4) if path.name.endswith((".fasta", ".gz")) else (3, 8, 8)
    return loaded.notes, load_data(str(path), shape=shape).notes


def _read_picture(path: Path) -> object:
    folder = path.with_name("folder")
    folder.mkdir(exist_ok=True)
    inside = folder / path.name
    path.replace(inside)
    try:
        return _read_data(folder)
    finally:
        inside.unlink()


def _read_weights(path: Path) -> object:
    from fssd_core.models.recognise import fits
    from fssd_core.models.weights import read_weights

    return fits(read_weights(path))


def _read_model(path: Path) -> object:
    from fssd_core.models import load_model

    return load_model(str(path)).taps


def _read_program(path: Path) -> object:
    from fssd_core.models import load_model
    from fssd_core.models.program_flag import allow_programs

    allow_programs(True)  # as the operator's flag does; the reader is a process of its own
    return load_model(str(path)).taps


def _read_bundle(path: Path) -> object:
    return bundle_file.read_bundle(path)


def _read_study(path: Path) -> object:
    from fssd_core.run_spec import RunSpec
    from fssd_core.study import Study, open_data, study_layers

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError("no JSON") from error
    if path.name.endswith(".run.json"):
        return RunSpec.from_json(values)
    study = Study.from_json(values)
    return study_layers(study), [open_data(study, ref).notes for ref in (study.ind, *study.ood)]


def _read_address(path: Path) -> object:
    """A page opened at that address, through Streamlit's own test harness; an exception on it is a bug."""
    from urllib.parse import parse_qs

    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(ENTRY), default_timeout=100)
    for name, values in parse_qs(path.read_bytes().decode("utf-8", "replace"), keep_blank_values=True).items():
        app.query_params[name] = values
    app.run()
    page = path.name.split(".")[1]
    if page != "features":
        app.switch_page(f"views/{page}.py").run()
    if app.exception:
        raise RuntimeError(f"on the page: {app.exception[0].value}")
    if app.error:
        raise InputError(app.error[0].value)
    return len(app.main)


KINDS: dict[str, Kind] = {
    "images": Kind(2.5, _images, _read_picture),
    "zip": Kind(2, _zips, _read_data),
    "npz and npy": Kind(2, _arrays, _read_data),
    "parquet": Kind(1.5, _tables, _read_data),
    "csv": Kind(1, _lists, _read_data),
    "FASTA": Kind(1, _fasta, _read_data),
    "weights (.safetensors, .pt, .pth)": Kind(2, _weights, _read_weights),
    "checkpoints with an architecture": Kind(1, _checkpoints, _read_model),
    "bundles": Kind(1, _bundles, _read_bundle),
    "study and run JSON": Kind(1.5, _studies, _read_study),
    "addresses (URL parameters)": Kind(0.15, _addresses, _read_address, limit=200),
    "programs (.pt2, TorchScript)": Kind(0.5, _programs, _read_program),  # last: the numbers of the others stay
}
