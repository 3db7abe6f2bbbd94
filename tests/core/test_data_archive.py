"""A .zip of pictures: read where it lies, and refused where it could harm; real archives, really hostile."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fssd_core.data import archive as archive_module
from fssd_core.data import load_data
from fssd_core.errors import DataError


def png(value: int, size: tuple[int, int] = (6, 5)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full(size, value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def pack(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


@pytest.mark.parametrize("top", ["", "photos/", "a/b/"])
def test_class_folders_are_found_below_any_folder_that_holds_everything(tmp_path, top):
    names = ["cat/1.png", "dog/2.png", "cat/3.png"]
    extra = {"__MACOSX/._1.png": b"x", f"{top}.DS_Store": b"x"}
    data = load_data(pack(tmp_path / "a.zip", {f"{top}{n}": png(10 * k) for k, n in enumerate(names)} | extra))
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1]
    assert data.images[:, 0, 0].tolist() == [0, 20, 10]
    assert data.rows.tolist() == [0, 1, 2]
    assert data.shape == (1, 6, 5)
    assert data.notes == ()


def test_a_zip_gives_what_the_same_folder_gives(tmp_path):
    files = {f"{'ab'[k % 2]}/{k}.png": png(k, (6 + k % 3, 5)) for k in range(9)} | {"b/notes.txt": b"none"}
    for name, content in files.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    packed = load_data(pack(tmp_path / "a.zip", files), shape=(3, 8, 8))
    plain = load_data(str(tmp_path / "folder"), shape=(3, 8, 8))
    assert packed.fingerprint() == plain.fingerprint()
    assert packed.notes == plain.notes
    assert packed.rows.tolist() == plain.rows.tolist()
    assert packed.classes == plain.classes


def test_pictures_without_folders_have_no_labels(tmp_path):
    assert load_data(pack(tmp_path / "a.zip", {"1.png": png(1), "2.png": png(2)})).labels is None
    mixed = load_data(pack(tmp_path / "b.zip", {"1.png": png(1), "x/2.png": png(2)}))
    assert mixed.labels is None
    assert "no class labels" in mixed.notes[0]


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\evil.png", "C:\\evil.png"])
def test_names_that_lead_outside_refuse_the_whole_archive(tmp_path, name):
    (tmp_path / "deep").mkdir()
    ref = str(tmp_path / "deep" / "a.zip")
    with zipfile.ZipFile(ref, "w") as archive:
        archive.writestr("good.png", png(1))
        info = zipfile.ZipInfo("x")
        info.filename = name  # what the constructor would clean
        archive.writestr(info, png(2))
    with pytest.raises(DataError, match="leads outside"):
        load_data(ref)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.zip"]  # nothing was unpacked anywhere


def test_links_and_encrypted_entries_are_named_and_the_others_go_on(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(200))
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    locked = zipfile.ZipInfo("locked.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.png", png(7))
        archive.writestr(link, str(tmp_path / "secret.png"))
        archive.writestr(locked, png(9))
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    raw[raw.rindex(b"locked.png") - 46 + 8] |= 1
    (tmp_path / "a.zip").write_bytes(raw)
    data = load_data(str(tmp_path / "a.zip"))
    assert (data.images == 7).all()
    assert data.notes == ("2 of 3 files could not be read: link.png (a link), locked.png (encrypted)",)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_without_a_bound_are_not_opened(tmp_path, method):
    with pytest.raises(DataError, match=r"1 of 1 files could not be read: a\.png \(packed by method"):
        load_data(pack(tmp_path / "a.zip", {"a.png": png(1)}, method))


def test_bombs_are_refused_by_what_they_claim_and_cut_where_they_lie(tmp_path, monkeypatch):
    honest = pack(tmp_path / "honest.zip", {f"{k}.png": bytes(2**20) for k in range(3)})
    monkeypatch.setattr(archive_module, "MAX_UNPACKED", 2 * 2**20)
    with pytest.raises(DataError, match="would unpack to"):
        load_data(honest)
    lying = Path(pack(tmp_path / "lying.zip", {"a.png": png(1) + bytes(2**20), "b.png": png(2)}))
    raw = bytearray(lying.read_bytes())
    at = raw.index(b"PK\x01\x02")
    struct.pack_into("<L", raw, at + 24, 60)  # the table promises 60 bytes where a MiB comes out
    lying.write_bytes(raw)
    data = load_data(str(lying))
    assert len(data) == 1
    assert data.notes[0].startswith("1 of 2 files could not be read: a.png (")


def test_an_entry_that_claims_little_is_never_unpacked_beyond_it(tmp_path):
    path = Path(pack(tmp_path / "a.zip", {"a.png": bytes(64 * 2**20)}))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<L", raw, raw.index(b"PK\x01\x02") + 24, 1000)
    path.write_bytes(raw)
    seen: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self.inner = zlib.decompressobj(-15)

        def decompress(self, data: bytes, most: int = 0) -> bytes:
            out = self.inner.decompress(data, most)
            seen.append(len(out))
            return out

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "_get_decompressor", lambda _method: Counting())
        with pytest.raises(DataError, match="1 of 1 files could not be read"):
            load_data(str(path))
    assert 0 < sum(seen) < 20_000


def test_the_number_of_entries_is_checked_before_they_are_listed(tmp_path, monkeypatch):
    ref = pack(tmp_path / "a.zip", {f"{k}.png": b"" for k in range(20)})
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 19)
    monkeypatch.setattr(zipfile.ZipFile, "__init__", lambda *_: pytest.fail("the table was read"))
    with pytest.raises(DataError, match="too many entries"):
        load_data(ref)


def test_files_that_are_no_zip_of_pictures(tmp_path):
    whole = Path(pack(tmp_path / "a.zip", {"a.png": png(1)})).read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / "x.zip").write_bytes(content)
        os.utime(tmp_path / "x.zip", ns=(1, len(content) + 1))
        with pytest.raises(DataError, match=r"not a whole \.zip archive.*copy"):
            load_data(str(tmp_path / "x.zip"))
    with pytest.raises(DataError, match="holds no file"):
        load_data(pack(tmp_path / "empty.zip", {}))
    np.savez(tmp_path / "n.npz", images=np.zeros((1, 2, 2), np.uint8))
    (tmp_path / "n.npz").rename(tmp_path / "n.zip")
    with pytest.raises(DataError, match=r"ending \.npz"):
        load_data(str(tmp_path / "n.zip"))


def test_an_entry_without_a_name_is_passed_over(tmp_path):
    """Found by `python -m benchmarks.fuzz`: zipfile itself stumbles over the empty name."""
    path = Path(pack(tmp_path / "a.zip", {"a.png": png(1), "b": png(2)}))
    raw = path.read_bytes()
    at = raw.rindex(b"PK\x01\x02")
    cut = bytearray(raw[: at + 46] + raw[at + 47 :])  # the table's last name 'b' becomes ''
    struct.pack_into("<H", cut, at + 28, 0)
    end = cut.rindex(b"PK\x05\x06")
    struct.pack_into("<L", cut, end + 12, int.from_bytes(cut[end + 12 : end + 16], "little") - 1)
    path.write_bytes(cut)
    data = load_data(str(path))
    assert len(data) == 1


def test_names_are_made_harmless_in_notes(tmp_path):
    names = ["\x1b[31mred\n.png", "‮gnp.exe", "a" * 300 + ".png"]
    data = load_data(pack(tmp_path / "a.zip", {"ok.png": png(1)} | dict.fromkeys(names, b"no picture")))
    note = data.notes[0]
    assert note.isprintable()
    assert "�[31mred�.png" in note
    assert "�gnp.exe" in note
    assert len(note) < 400
