"""Every further kind of file that images come in: .npy, .csv, .parquet, FASTA, links, and odd pictures."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fssd_core.data import genome as genome_module
from fssd_core.data import load_data
from fssd_core.errors import DataError

RNG = np.random.default_rng(11)


def png(value: int, size: tuple[int, int] = (6, 5)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full(size, value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- .npy


@pytest.mark.parametrize("tail", [(), (1,), (3,)])
def test_an_npy_is_its_images(tmp_path, tail):
    images = RNG.integers(256, size=(4, 6, 5, *tail), dtype=np.uint8)
    np.save(tmp_path / "a.npy", images)
    data = load_data(str(tmp_path / "a.npy"), shape=(1, 6, 5) if tail != (3,) else None)
    assert np.array_equal(data.images.reshape(images.shape), images)
    assert data.labels is None


def test_an_npy_that_does_not_fit_is_refused_before_it_is_read(tmp_path):
    whole = io.BytesIO()
    np.save(whole, np.zeros((4, 6, 5), np.uint8))
    boxed = io.BytesIO()
    np.save(boxed, np.array([{}], dtype=object), allow_pickle=True)
    claims = io.BytesIO()
    np.lib.format.write_array_header_1_0(claims, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 50, 50)})
    long = b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little")
    for k, (content, words) in enumerate(
        [
            (whole.getvalue()[:-1], "119 bytes of pixels, 120 are promised"),
            (whole.getvalue()[:40], "not a whole .npy"),
            (boxed.getvalue(), "Python objects"),
            (claims.getvalue(), "at most 2 GiB"),
            (long, "a header of 2147483648 bytes"),
            (b"", "not a whole .npy"),
        ]
    ):
        with pytest.raises(DataError, match=words):
            load_data(str(put(tmp_path / f"{k}.npy", content)))


# --- lists


def listing(tmp_path: Path, text: str, name: str = "list.csv") -> str:
    return str(put(tmp_path / name, text.encode("utf-8-sig")))


def test_a_list_gives_its_pictures_in_its_order(tmp_path):
    put(tmp_path / "a" / "1.png", png(10))
    put(tmp_path / "2.png", png(20))
    data = load_data(listing(tmp_path, "id,path,label\n7,2.png,dog\n8,a/1.png,cat\n\n"))
    assert data.images[:, 0, 0].tolist() == [20, 10]
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [1, 0]
    numbered = load_data(listing(tmp_path, "File;Class\n2.png;5\na/1.png;3\n", "n.csv"))
    assert numbered.labels.tolist() == [5, 3]
    assert numbered.classes == ()
    tabs = load_data(listing(tmp_path, "image\tx\n2.png\t1\n", "n.tsv"))
    assert tabs.labels is None


@pytest.mark.parametrize("before", ["", "a,b,c,d,e,f,g,h,i,"])
def test_a_listed_file_that_changed_is_read_again(tmp_path, before):
    put(tmp_path / "1.png", png(10))
    ref = listing(tmp_path, f"{before}path\n{before}1.png\n")
    assert (load_data(ref).images == 10).all()
    put(tmp_path / "1.png", png(30))
    os.utime(tmp_path / "1.png", ns=(1, 10**18))
    assert (load_data(ref).images == 30).all()


def test_paths_that_lead_outside_are_named_and_the_others_go_on(tmp_path):
    secret = put(tmp_path / "secret.png", png(99))
    base = tmp_path / "base"
    put(base / "good.png", png(7))
    (base / "link.png").symlink_to(secret)
    (base / "loop.png").symlink_to(base / "loop.png")
    os.mkfifo(base / "pipe.png")
    rows = ["../secret.png", str(secret), "link.png", "good.png", "no.png", "pipe.png", "loop.png", '"a\0b.png"', ""]
    data = load_data(listing(base, "path,x\n" + "".join(f"{row},1\n" for row in rows)))
    assert (data.images == 7).all()
    assert data.rows.tolist() == [3]
    assert data.notes[0].startswith("8 of 9 files could not be read: ")
    inside = load_data(listing(base, "path\n../secret.png\n", "b.csv"), root=tmp_path)
    assert (inside.images == 99).all()
    for k, row in enumerate(rows[:3]):
        with pytest.raises(DataError, match="a path that leads outside the list's folder"):
            load_data(listing(base, f"path\n{row}\n", f"{k}.csv"))


def test_lists_that_are_none(tmp_path):
    for k, (text, words) in enumerate(
        [
            ("", "the list is empty"),
            ("path\n", "names no picture"),
            ("x,y\n1,2\n", "no column of paths .it has 'x', 'y'"),
            ('path\n"' + "a" * 200_000 + '"\n', "cannot be read"),
        ]
    ):
        with pytest.raises(DataError, match=words):
            load_data(listing(tmp_path, text, f"{k}.csv"))
    with pytest.raises(DataError, match="cannot be read"):
        load_data(str(put(tmp_path / "bytes.csv", b"path\n\xff\xfe\x00")))


# --- links in folders


def test_links_in_a_folder_are_followed_below_it_and_below_the_data_root_alone(tmp_path):
    outside = put(tmp_path / "outside" / "1.png", png(50))
    folder = tmp_path / "root" / "set"
    put(folder / "2.png", png(60))
    (folder / "inner.png").symlink_to(folder / "2.png")
    (folder / "outer.png").symlink_to(outside)
    (folder / "deep").symlink_to(outside.parent)  # a link to a folder is not entered
    data = load_data(str(folder), root=tmp_path / "root")
    assert data.images[:, 0, 0].tolist() == [60, 60]
    assert data.notes == ("1 of 3 files could not be read: outer.png (a link that leads outside the folder)",)
    assert load_data(str(folder), root=tmp_path).images[:, 0, 0].tolist() == [60, 60, 50]


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        load_data(str(tmp_path / "a.npz"))
    put(tmp_path / "a.exe", b"x")
    with pytest.raises(DataError, match=r"end in '\.exe' are not read as images"):
        load_data(str(tmp_path / "a.exe"))


@pytest.mark.parametrize(
    "ref", ["/" + "a" * 5000 + ".npz", "/tmp/a\0b.npz", "~nobody-at-all/x.npz", "/proc/1/mem/x.npz"]
)
def test_references_that_no_file_system_takes(ref):
    with pytest.raises(DataError):
        load_data(ref)


# --- .parquet


def table(path: Path, columns: dict[str, object], metadata: dict[bytes, bytes] | None = None) -> str:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    made = pyarrow.table(columns)
    parquet.write_table(made.replace_schema_metadata(metadata) if metadata else made, path)
    return str(path)


@pytest.mark.parametrize("nested", [False, True])
def test_a_parquet_of_pictures_with_classes(tmp_path, nested):
    values: list[object] = [png(10), png(20), b"none", png(30)]
    if nested:
        values = [{"bytes": v, "path": "x.png"} for v in values]
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    ref = table(
        tmp_path / "a.parquet",
        {"image": values, "label": [1, 0, 1, 1]},
        {b"huggingface": json.dumps(features).encode()},
    )
    data = load_data(ref, shape=(3, 6, 5))
    assert data.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert data.labels.tolist() == [1, 0, 1]
    assert data.classes == ("cat", "dog")
    assert data.rows.tolist() == [0, 1, 3]
    assert data.notes[0] == "1 of 4 files could not be read: row 2 (not a picture of an allowed kind)"


def test_words_are_classes_and_a_sole_column_of_bytes_is_found(tmp_path):
    data = load_data(table(tmp_path / "a.parquet", {"raw": [png(1), png(2), None], "class": ["b", "a", "b"]}))
    assert data.classes == ("a", "b")
    assert data.labels.tolist() == [1, 0]
    assert "row 2 (no bytes)" in data.notes[0]


def test_tables_that_do_not_fit(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"no column of encoded pictures .*it has x \(int64\)"):
        load_data(table(tmp_path / "a.parquet", {"x": [1]}))
    whole = table(tmp_path / "b.parquet", {"image": [png(1)]})
    for size in (0, 7, 200):
        with pytest.raises(DataError, match=r"not a whole \.parquet file"):
            load_data(str(put(tmp_path / f"{size}.parquet", Path(whole).read_bytes()[:size])))
    with monkeypatch.context() as patch:
        patch.setattr("fssd_core.data.parquet.MAX_UNPACKED", 10)
        with pytest.raises(DataError, match="would unpack to"):
            load_data(whole)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="needs pyarrow; install it"):
        load_data(whole, shape=(1, 4, 4))


# --- FASTA


@pytest.mark.parametrize("packed", [False, True])
def test_reads_are_cut_one_after_the_other(tmp_path, packed):
    text = b">one\n" + b"acgtACGTNN\nAC" + b"\n>two\nGGGG\n"
    path = put(tmp_path / ("a.fa.gz" if packed else "a.fasta"), gzip.compress(text) if packed else text)
    data = load_data(str(path), shape=(1, 4, 4))
    assert data.images.argmax(2).tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [2, 2, 2, 2]]
    assert data.rows.tolist() == [0, 1, 3]
    assert data.notes == (
        "2 records were cut into 4 reads of 4 bases, without overlap",
        "1 reads with other letters than A, C, G and T were left out",
    )


def test_fasta_that_does_not_fit(tmp_path, monkeypatch):
    path = str(put(tmp_path / "a.fa", b">x\n" + b"ACGT" * 70))
    assert load_data(path).shape == (1, 250, 4)
    with pytest.raises(DataError, match="Choose a network of reads"):
        load_data(path, shape=(1, 28, 28))
    with pytest.raises(DataError, match="no record has 400 bases"):
        load_data(path, shape=(1, 400, 4))
    monkeypatch.setattr(genome_module, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="MiB of letters"):  # a MiB of zeros in a KiB
        load_data(str(put(tmp_path / "bomb.fa.gz", gzip.compress(b">" + bytes(2**20)))))


# --- odd pictures


def test_cmyk_palette_and_sixteen_bit_colour(tmp_path):
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[...] = (200, 40, 90)
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "cmyk.tif")
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    Image.fromarray(rgb).quantize(4).save(tmp_path / "palette.png")
    Image.fromarray(rgb).convert("YCbCr").save(tmp_path / "ycbcr.tif")
    see = Image.fromarray(rgb).quantize(4)
    see.save(tmp_path / "see.png", transparency=see.getpixel((0, 0)))  # a palette's colour that is seen through
    data = load_data(str(tmp_path))
    assert data.notes == ()
    for name, image in zip(sorted(p.name for p in tmp_path.iterdir()), data.images, strict=True):
        wanted = (0, 0, 0) if name == "see.png" else (200, 40, 90)
        assert np.abs(image.astype(int) - wanted).max() <= 3, name


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_colour_and_transparency_keep_their_upper_byte(tmp_path, colour, channels):
    """PNG's 16-bit RGB, grey with alpha, and RGBA, written by hand, since Pillow writes none of them."""
    values = np.full((2, 3, channels), 65535, np.uint16)  # alpha, the last of 2 or 4, is opaque
    values[..., : channels - (channels in (2, 4))] = 0x80FF
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    png = b"\x89PNG\r\n\x1a\n"
    for kind, body in [
        (b"IHDR", struct.pack(">IIBBBBB", 3, 2, 16, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]:
        png += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    put(tmp_path / "a.png", png)
    assert (load_data(str(tmp_path)).images == 0x80).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_exif_orientation(tmp_path, turn):
    upright = RNG.integers(256, size=(6, 10), dtype=np.uint8)
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
        6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_data(str(tmp_path)).images[0], upright)
