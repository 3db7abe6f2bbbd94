"""Published data layouts, written small in their real formats: ImageNet folders, CelebA lists, RecordIO, FASTA."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fssd_core.benchmarks import BENCHMARKS, find_benchmark, load_sets
from fssd_core.data import DATA, celeba, faces, genome, imagenet, load_data
from fssd_core.data.auxiliary import drawn_pictures
from fssd_core.errors import DataError, InputError

NONE = (None, None, None)


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, quality=95)


@pytest.fixture
def small(monkeypatch):
    """Small pictures, so that the tests are fast."""
    for module in (imagenet, celeba, faces):
        monkeypatch.setattr(module, "SHAPE", (3, 16, 16))


# ImageNet


@pytest.fixture
def ilsvrc(tmp_path, small) -> Path:
    synsets = {"n02085620": 10, "n02113978": 60, "n01440764": 110, "n02114367": 160, "n02123045": 210}
    for number, (synset, grey) in enumerate(synsets.items()):
        for part, count in (("train", 3), ("val", 2)):
            for k in range(count):
                picture(tmp_path / "imagenet" / part / synset / f"{synset}_{k}.JPEG", (grey, number, k * 20))
    return tmp_path


def test_dogs_are_the_synsets_between_the_first_and_the_last_breed(ilsvrc):
    train, ind, ood = imagenet.dogs_and_others(ilsvrc, NONE, 0)
    assert (len(train), len(ind), len(ood)) == (6, 4, 6)
    assert train.classes == ind.classes == ("n02085620", "n02113978")
    assert ind.labels.tolist() == [0, 0, 1, 1]
    assert ood.labels is None
    assert abs(int(train.images[0, 0, 0, 0]) - 10) < 4
    assert sorted({round(int(i[0, 0, 0]), -1) for i in ood.images}) == [110, 160, 210], "wolf and cat are no dogs"
    assert not imagenet.is_dog("n02114367")
    assert imagenet.is_dog("n02099601")


def test_imagenet_limits_draw_before_reading_and_missing_parts_are_named(ilsvrc, tmp_path):
    (ilsvrc / "imagenet" / "val" / "n01440764" / "n01440764_0.JPEG").write_bytes(b"no picture")
    train, ind, ood = imagenet.dogs_and_others(ilsvrc, (2, 3, None), 0)
    assert (len(train), len(ind), len(ood)) == (2, 3, 5)
    assert "1 of 6 files of imagenet-others:val could not be read: n01440764_0.JPEG" in ood.notes[0]
    with pytest.raises(DataError, match=r"benchmark 'dogs-nondogs' needs ImageNet .* below --data-root"):
        load_sets(find_benchmark("dogs-nondogs"), root=tmp_path / "nowhere")
    flat = tmp_path / "flat"
    picture(flat / "imagenet" / "val" / "ILSVRC2012_val_00000001.JPEG", (0, 0, 0))
    (flat / "imagenet" / "train").mkdir()
    with pytest.raises(DataError, match="holds no folder named by a synset"):
        load_sets(find_benchmark("dogs-nondogs"), root=flat)


# CelebA

ATTRIBUTES = ["Bald", "Blurry", "Male", "Young"]


@pytest.fixture
def faces_of_celebrities(tmp_path, small) -> Path:
    base = tmp_path / "celeba"
    lines = []
    parts = []
    for number in range(1, 13):
        name = f"{number:06d}.jpg"
        picture(base / "img_align_celeba" / name, (number * 20, 0, 0), (178, 218))
        values = ["-1", "1" if number % 3 == 0 else "-1", "1" if number % 2 else "-1", "1"]
        lines.append(f"{name}  {'  '.join(values)}")
        parts.append(f"{name} {0 if number <= 6 else 2}")
    (base / "list_attr_celeba.txt").write_text("\n".join(["12", " ".join(ATTRIBUTES) + " ", *lines]) + "\n")
    (base / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")
    return tmp_path


def test_blurry_faces_are_ood_and_parts_are_the_official_ones(faces_of_celebrities):
    train, ind, ood = celeba.sharp_and_blurry(faces_of_celebrities, NONE, 0)
    assert [round(int(i[5, 5, 0]) / 20) for i in train.images] == [1, 2, 4, 5]
    assert [round(int(i[5, 5, 0]) / 20) for i in ind.images] == [7, 8, 10, 11]
    assert [round(int(i[5, 5, 0]) / 20) for i in ood.images] == [9, 12]
    assert train.labels.tolist() == [1, 0, 0, 1]
    assert train.classes == ("not male", "male")


def test_without_the_partition_file_the_image_number_decides(faces_of_celebrities):
    base = faces_of_celebrities / "celeba"
    (base / "list_eval_partition.txt").unlink()
    with pytest.raises(DataError, match="no face belongs to celeba-sharp:test"):
        celeba.sharp_and_blurry(faces_of_celebrities, NONE, 0)  # 1..12 are all training images
    text = (base / "list_attr_celeba.txt").read_text()
    for old, new in (("000003", "190000"), ("000004", "190001")):
        text = text.replace(old, new)
        (base / "img_align_celeba" / f"{old}.jpg").rename(base / "img_align_celeba" / f"{new}.jpg")
    (base / "list_attr_celeba.txt").write_text(text)
    train, ind, ood = celeba.sharp_and_blurry(faces_of_celebrities, NONE, 0)
    assert (len(train), len(ind), len(ood)) == (7, 1, 1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.replace("12\n", "13\n", 1), "says 13 images and lists 12; the file is cut"),
        (lambda t: t.replace("Blurry", "Blury"), "has no attribute Blurry; it has Bald, Blury"),
        (lambda t: t.replace("-1  -1  1", "-1  0  1", 1), "line 3 is not a file name and 4 times"),
        (lambda t: t.split("\n", 1)[1], "its first line is the number of images"),
    ],
)
def test_a_spoilt_attribute_list_is_told_by_its_line(faces_of_celebrities, spoil, said):
    path = faces_of_celebrities / "celeba" / "list_attr_celeba.txt"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(DataError, match=said):
        celeba.sharp_and_blurry(faces_of_celebrities, NONE, 0)


def test_celeba_missing_says_what_to_get(tmp_path):
    with pytest.raises(DataError, match=r"needs CelebA as celeba/img_align_celeba/.*there is no celeba/list_attr"):
        load_sets(find_benchmark("celeba-blurry"), root=tmp_path)


# faces as InsightFace packs them


def jpeg(colour: tuple[int, int, int]) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(content, "JPEG", quality=95)
    return content.getvalue()


def record(data: bytes) -> bytes:
    """One RecordIO record, cut at every aligned magic number inside the data as MXNet's writer does."""
    magic = struct.pack("<I", faces.MAGIC)
    cuts = [i for i in range(0, len(data) - 3, 4) if data[i : i + 4] == magic]
    pieces, start = [], 0
    for cut in cuts:
        pieces.append(data[start:cut])
        start = cut + 4
    pieces.append(data[start:])
    out = b""
    for number, piece in enumerate(pieces):
        kind = 0 if len(pieces) == 1 else 1 if number == 0 else 3 if number == len(pieces) - 1 else 2
        out += magic + struct.pack("<I", kind << 29 | len(piece)) + piece + b"\0" * (-len(piece) % 4)
    return out


def write_rec(folder: Path, pictures: list[bytes], labels: list[int]) -> None:
    folder.mkdir(parents=True)
    content, index = b"", []
    records = [struct.pack("<IfQQ", 2, 0, 0, 0) + struct.pack("<2f", len(pictures) + 1, len(pictures) + 3)]
    records += [struct.pack("<IfQQ", 0, label, k, 0) + p for k, (p, label) in enumerate(zip(pictures, labels))]  # noqa: B905
    records += [struct.pack("<IfQQ", 2, 0, 0, 0) + struct.pack("<2f", 1, 2)] * 2  # the people, no pictures
    for key, data in enumerate(records):
        index.append(f"{key}\t{len(content)}")
        content += record(data)
    (folder / "train.rec").write_bytes(content)
    (folder / "train.idx").write_text("\n".join(index) + "\n")


@pytest.fixture
def face_sets(tmp_path, small) -> Path:
    pictures = [jpeg((k * 5, 100, 0)) for k in range(40)]
    write_rec(tmp_path / "ms1m", pictures, [k // 2 for k in range(40)])
    for k in range(3):
        picture(tmp_path / "ijbc" / f"{k}.jpg", (0, 0, 200 + k), (20, 20))
    return tmp_path


def test_records_are_read_with_their_labels_and_split_for_good(face_sets):
    train, ind, ood = faces.known_and_unknown(face_sets, NONE, 0)
    assert len(train) + len(ind) == 40
    assert 0 < len(ind) < 12
    shades = [[round(int(i[3, 3, 0]) / 5) for i in s.images] for s in (train, ind)]
    assert sorted(shades[0] + shades[1]) == list(range(40)), "every face once, none of the header's records"
    assert train.labels.tolist() == [shade // 2 for shade in shades[0]]
    assert len(ood) == 3
    again = faces.known_and_unknown(face_sets, (5, 2, 1), 0)
    assert [len(s) for s in again] == [5, 2, 1]
    held_out = {i.tobytes() for i in ind.images}
    assert {i.tobytes() for i in again[1].images} <= held_out


def test_a_record_that_holds_the_magic_number_is_put_together(tmp_path, small):
    data = jpeg((10, 20, 30))
    spoilt = data + b"\0" * (-(len(data) + 24) % 4) + struct.pack("<I", faces.MAGIC) + b"tail"
    write_rec(tmp_path / "ms1m", [spoilt], [7])
    packed = tmp_path / "ms1m" / "train.rec"
    records = faces.read_index(packed)
    found = faces.load_records("x", packed, list(enumerate(records)), (3, 16, 16))
    assert found.labels.tolist() == [7]
    with packed.open("rb") as file:
        offset = records[0].offset
        assert faces._read(file, offset, tmp_path)[24:] == spoilt


def test_folders_of_people_serve_too(tmp_path, small):
    for person in ("ada", "bob"):
        for k in range(20):
            picture(tmp_path / "ms1m" / person / f"{k}.jpg", (k * 10, 0, 0 if person == "ada" else 200), (20, 20))
    picture(tmp_path / "ijbc" / "set" / "1.png", (1, 2, 3))
    train, ind, _ = faces.known_and_unknown(tmp_path, NONE, 0)
    assert train.classes == ind.classes == ("ada", "bob")
    assert [int(i[3, 3, 2]) > 100 for i in train.images] == [bool(label) for label in train.labels]


def test_damaged_face_files_are_named(face_sets, tmp_path):
    packed = face_sets / "ms1m" / "train.rec"
    packed.write_bytes(packed.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"train.rec: (there is no record at byte|the record at byte) \d+"):
        faces.known_and_unknown(face_sets, NONE, 0)
    (face_sets / "ms1m" / "train.idx").write_text("0\tx\n")
    with pytest.raises(DataError, match="line 1 is not a key and an offset"):
        faces.known_and_unknown(face_sets, NONE, 0)
    (face_sets / "ms1m" / "train.idx").unlink()
    with pytest.raises(DataError, match=r"train\.idx: there is no such file; it belongs to train\.rec"):
        faces.known_and_unknown(face_sets, NONE, 0)
    with pytest.raises(DataError, match=r"needs MS-Celeb-1M as ms1m/train\.rec.*ijbc"):
        load_sets(find_benchmark("ms1m-ijbc"), root=tmp_path / "nowhere")


# genomes


def write_genomes(root: Path) -> None:
    draws = np.random.default_rng(0)
    for part, names in (("ind", ["Escherichia_K12.fasta.gz", "Vibrio.fna"]), ("ood", ["Buchnera.fa"])):
        (root / "genomes" / part).mkdir(parents=True)
        for name in names:
            letters = draws.choice(list("ACGT"), 3000)
            letters[100] = "N"
            text = "".join(letters)
            lines = [">chromosome 1", *(text[i : i + 80] for i in range(0, 2000, 80)), ">plasmid", text[2000:].lower()]
            content = ("\n".join(lines) + "\n").encode()
            (root / "genomes" / part / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)


def bases(images: np.ndarray) -> list[str]:
    return ["".join("ACGT"[k] for k in row.argmax(1)) for row in images]


def test_reads_are_windows_of_their_part_of_the_genome(tmp_path):
    write_genomes(tmp_path)
    train, ind, ood = genome.known_and_other_genera(tmp_path, (30, 11, 8), 0)
    assert train.images.shape == (30, 250, 4)
    assert (train.images.sum(axis=2) == 255).all(), "one base a place"
    assert train.classes == ("Escherichia_K12", "Vibrio")
    assert train.labels.tolist() == [0] * 15 + [1] * 15
    assert [len(s) for s in (ind, ood)] == [11, 8]
    for number, name in enumerate(train.classes):
        path = next((tmp_path / "genomes" / "ind").glob(f"{name}.*"))
        records = ["".join("ACGTN"[min(k, 4)] for k in r) for r in genome.read_fasta(path)]
        first = [r[: int(0.8 * len(r))] for r in records]
        last = [r[int(0.8 * len(r)) :] for r in records]
        for images, parts in ((train, first), (ind, last)):
            for read in bases(images.images[images.labels == number]):
                assert any(read in part for part in parts)
    assert len(set(bases(train.images)) & set(bases(ind.images))) == 0


def test_fasta_of_both_kinds_is_read_the_same(tmp_path):
    text = b">one\nACGTNacgt\nAC\n>two\r\nGGGG\r\n"
    for name, content in (("a.fasta", text), ("a.fasta.gz", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        first, second = genome.read_fasta(tmp_path / name)
        assert first.tolist() == [0, 1, 2, 3, 255, 0, 1, 2, 3, 0, 1]
        assert second.tolist() == [2, 2, 2, 2]
    (tmp_path / "bad.fa").write_bytes(b"ACGT")
    with pytest.raises(DataError, match="a FASTA file starts with '>'"):
        genome.read_fasta(tmp_path / "bad.fa")
    (tmp_path / "cut.fa.gz").write_bytes(gzip.compress(text)[:20])
    with pytest.raises(DataError, match="cannot be read"):
        genome.read_fasta(tmp_path / "cut.fa.gz")


def test_random_sequences_are_one_hot_and_seeded():
    draw = genome.random_sequences((1, 250, 4), 6, generator=torch.Generator().manual_seed(0))
    assert draw.shape == (6, 1, 250, 4)
    assert torch.equal(draw.sum(3), torch.ones(6, 1, 250))
    assert torch.equal(draw, genome.random_sequences((1, 250, 4), 6, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(draw.mean((0, 1, 2)), torch.full((4,), 0.25), atol=0.05)


def test_reads_have_names_too_and_follow_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr(genome, "COUNTS", {"genome-ind:train": 30, "genome-ind:test": 11, "genome-ood": 8})
    with pytest.raises(DataError, match=r"genomes/ind: there is no FASTA file .*put one a genus there"):
        load_data("genome-ind:train", root=tmp_path)
    write_genomes(tmp_path)
    for name, images in zip(genome.PARTS, genome.known_and_other_genera(tmp_path, (30, 11, 8), 0), strict=True):
        found = load_data(name, root=tmp_path)
        assert found.fingerprint() == images.fingerprint()
        assert (found.name, found.classes) == (name, images.classes)
        assert found.shape == DATA[name].shape
    write_more = tmp_path / "genomes" / "ood" / "Zymomonas.fasta"
    write_more.write_text(">z\n" + "GATTACA" * 60 + "\n")
    assert load_data("genome-ood", root=tmp_path).classes == ("Buchnera", "Zymomonas")


def test_genomes_missing_or_short_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"needs genomes as FASTA files .* genomes/ind/ and genomes/ood/"):
        load_sets(find_benchmark("bacteria-genome"), root=tmp_path)
    write_genomes(tmp_path)
    with pytest.raises(DataError, match=r"places for a read of 250 bases; \d+ are needed"):
        genome.known_and_other_genera(tmp_path, (100_000, 4, 4), 0)


# the table


def test_the_table_holds_the_papers_rows_and_numbers():
    rows = {"fmnist-mnist", "cifar10-svhn", "dogs-nondogs", "celeba-blurry", "ms1m-ijbc", "bacteria-genome"}
    assert rows | {"cifar10-cifar100", "own"} == set(BENCHMARKS)
    fssd = {name: BENCHMARKS[name].slides["fssd"] for name in rows}
    assert fssd["fmnist-mnist"] == (99.6, 99.7, 0.0)
    assert fssd["ms1m-ijbc"] == (86.7, 86.1, 22.1)
    assert "outlier-exposure" not in BENCHMARKS["bacteria-genome"].slides, "not applicable there"
    assert BENCHMARKS["fmnist-mnist"].readme["odin"] == (87.9, 88.0, 20.0)
    for name, row in BENCHMARKS.items():
        assert row.name == name
        assert row.model or row.get or name == "own"
        assert set(row.readme) <= set(row.slides)
    with pytest.raises(InputError, match="no benchmark 'fmnist-mnst'; did you mean 'fmnist-mnist'"):
        find_benchmark("fmnist-mnst")
    with pytest.raises(InputError, match="benchmark 'own' has no train images of its own; give --train"):
        load_sets(find_benchmark("own"))


@pytest.mark.parametrize("name", ["cifar10-svhn", "cifar10-cifar100"])
def test_cifar_missing_says_what_to_get(name, tmp_path):
    with pytest.raises(DataError, match=rf"benchmark '{name}' needs CIFAR-10.*--download fetches both; or give files"):
        load_sets(find_benchmark(name), root=tmp_path)


# the pictures of outlier exposure


def test_auxiliary_pictures_are_seeded_varied_and_of_no_test_set():
    first, again, other = drawn_pictures(60), drawn_pictures(60), drawn_pictures(60, seed=1)
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert first.shape == (1, 28, 28)
    assert set(first.labels.tolist()) == set(range(6)), "every kind is drawn"
    assert len({image.tobytes() for image in first.images}) == 60
    assert (np.ptp(first.images.reshape(60, -1), axis=1) > 20).mean() > 0.9
    assert drawn_pictures(20).images.tobytes() == first.images[:20].tobytes(), "a longer set starts alike"
    with pytest.raises(InputError, match="0 pictures of 28 pixels"):
        drawn_pictures(0)
