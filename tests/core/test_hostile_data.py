"""What once failed under `python -m benchmarks.fuzz`, kept small; and a short seeded run over every kind of file."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow")
from benchmarks.fuzz import run_kind, try_input
from benchmarks.fuzz_kinds import KINDS, make_input
from fssd_core.data import load_data
from fssd_core.errors import DataError, InputError
from fssd_core.models.program_flag import VARIABLE
from fssd_core.study import Study, open_model

FILES = [kind for kind in KINDS if not kind.startswith("addresses")]


def npz(path: Path, **members: bytes) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return str(path)


def array(header: bytes, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'shape': (1, 2, 2), ",  # tokenize.TokenError
        b"(" * 3000,  # RecursionError or MemoryError in Python's parser
        b"{'descr': 1, 'fortran_order': False, 'shape': (1, 2, 2)}\n",
        b"\xff\xfe",
    ],
)
def test_headers_that_python_cannot_parse(tmp_path, header):
    with pytest.raises(DataError, match="damaged"):
        load_data(npz(tmp_path / "a.npz", images=array(header)))


def test_class_names_beyond_unicode(tmp_path):
    """NumPy reads them, and the first look at such a name is a SystemError."""
    images, names = io.BytesIO(), io.BytesIO()
    np.save(images, np.zeros((2, 3, 3), np.uint8))
    np.save(names, np.array(["cat", "dog"]))
    raw = names.getvalue()
    with pytest.raises(DataError, match="letters that are none"):
        load_data(npz(tmp_path / "a.npz", images=images.getvalue(), classes=raw[:-1] + b"\x7f"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epsilon": 10**40}, "in pixels"),
        ({"epsilon": float("nan")}, "in pixels"),
        ({"epsilon": "0.1"}, "a study's epsilon is a number; str '0.1' was given"),
        ({"epsilon": True}, "is a number"),
        ({"samples": "many"}, "a whole number or nothing"),
        ({"model": 3}, "a study's model is text"),
        ({"ood": [1]}, "a list of texts"),
        ({"ood": "mnist"}, "a list of texts"),
        ({"layers": [[]]}, "a list of texts or nothing"),
        ({"shared": 1}, "true or false"),
        ({"seed": 2**63}, "below 2..63"),
        ({"noise_samples": 10**13}, "at most 1,000,000,000,000"),
        ([1], "not an object"),
    ],
)
def test_studies_with_values_of_another_kind(values, words):
    with pytest.raises(InputError, match=words):
        Study.from_json(values)


def test_every_study_survives_its_own_json():
    study = Study(layers=("conv1",), step=300, samples=None, arch="lenet", epsilon=1)
    assert Study.from_json(json.loads(json.dumps(study.to_json()))) == study


def test_a_model_path_with_a_nul():
    from fssd_core.errors import FssdError

    with pytest.raises(FssdError):
        open_model(Study(model="a\0b.pt"))


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's and zipfile's own words on damaged files
@pytest.mark.parametrize("kind", FILES)
def test_damaged_inputs_give_clear_errors_alone(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("FSSD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(VARIABLE, "")  # the kind 'programs' sets it
    outcomes = [try_input(kind, number, tmp_path, seed=7) for number in range(40)]
    assert [words for what, words in outcomes if what == "bugs"] == []
    assert any(what == "refused" for what, _ in outcomes)


def test_inputs_are_the_same_for_the_same_seed():
    assert make_input("zip", 3, seed=1) == make_input("zip", 3, seed=1)
    assert make_input("zip", 3, seed=1) != make_input("zip", 3, seed=2)


def test_the_watcher_tells_crashes_hangs_and_bugs_apart(monkeypatch):
    """The harness itself: an input that kills, one that hangs and one that raises are each counted."""
    import dataclasses
    import os
    import time

    def read(path: Path) -> object:
        number = int(path.name.split("-")[1].split(".")[0])
        if number == 1:
            os._exit(3)
        if number == 2:
            time.sleep(60)
        if number == 3:
            raise KeyError("x")
        return None

    monkeypatch.setitem(KINDS, "csv", dataclasses.replace(KINDS["csv"], read=read, limit=2.0))
    told = run_kind("csv", list(range(5)), seed=0)
    assert (told.inputs, told.read, told.crashes, told.hangs, told.bugs) == (5, 2, 1, 1, 1)
    assert told.first_bugs.pop("crash, exit code 3") == "number 1"
    assert told.first_bugs.pop("hang") == "number 2"
    [bug] = told.first_bugs
    assert bug.startswith("KeyError: 'x' (test_hostile_data.py:")
