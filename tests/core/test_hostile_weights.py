"""Weight files that claim what they do not hold, found by `python -m benchmarks.fuzz`; each is one clear ModelError."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch

from fssd_core.errors import ModelError
from fssd_core.models.weights import read_weights


def test_a_value_repeated_a_billion_times_is_not_unfolded(tmp_path):
    torch.save({"w": torch.zeros(1).expand(10**11)}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 4096
    with pytest.raises(ModelError, match="it claims 100,000,000,000 values"):
        read_weights(tmp_path / "a.pt")
    shared = torch.zeros(1000, dtype=torch.half)
    torch.save({f"w{k}": shared for k in range(5)}, tmp_path / "tied.pt")  # tied weights are usual
    assert len(read_weights(tmp_path / "tied.pt").state) == 5


@pytest.mark.parametrize("tensor", [torch.eye(3).to_sparse(), torch.empty(3, device="meta")], ids=["sparse", "meta"])
def test_tensors_of_other_kinds(tmp_path, tensor):
    torch.save({"w": tensor}, tmp_path / "a.pt")
    with pytest.raises(ModelError):
        read_weights(tmp_path / "a.pt")


def test_names_that_are_no_text(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        archive.writestr("archive/\u00e4/data.pkl", b"x")  # marked as UTF-8
    raw = (tmp_path / "b.pt").read_bytes().replace("\u00e4".encode(), b"\xa4\xa4")
    (tmp_path / "b.pt").write_bytes(raw)
    with pytest.raises(ModelError, match="damaged, cut off"):
        read_weights(tmp_path / "b.pt")


def test_a_zip_over_several_disks(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer)
    raw = bytearray(buffer.getvalue())
    at = raw.rfind(b"PK\x06\x07")
    assert at > 0  # torch writes zip64
    raw[at + 16] = 9
    (tmp_path / "a.pt").write_bytes(raw)
    with pytest.raises(ModelError, match="damaged, cut off"):
        read_weights(tmp_path / "a.pt")
