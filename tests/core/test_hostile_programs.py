"""Programs that would run Python, read or write files, or are damaged: one clear ModelError, and no mark is left."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fssd_core.errors import ModelError
from fssd_core.models import load_model
from fssd_core.models.program_flag import VARIABLE
from tests.core.program_nets import SHAPE, edited, export, net, script


@pytest.fixture(autouse=True)
def allowed(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("programs")
    return {
        "pt2": export(net(), folder / "p.pt2").read_bytes(),
        "pt": script(net(), folder / "s.pt").read_bytes(),
    }


@pytest.fixture
def path(tmp_path, whole) -> Path:
    (tmp_path / "p.pt2").write_bytes(whole["pt2"])
    return tmp_path / "p.pt2"


class Trap:
    """Unpickling it runs a shell command that leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


def pickled(mark: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Trap(mark), buffer)
    return buffer.getvalue()


def changed(change: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def apply(content: bytes) -> bytes:
        values = json.loads(content)
        change(values)
        return json.dumps(values).encode()

    return apply


def torch_opens(path: Path) -> None:
    """What torch alone does with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.export.load(path)
        except Exception:  # noqa: BLE001 - the mark is what counts
            return


def test_pickled_example_inputs_are_never_opened(path, tmp_path):
    mark = tmp_path / "ran"
    edited(path, "sample_inputs/model.pt", lambda _: pickled(mark))
    images = torch.rand(3, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(load_model(str(path)).module(images), net()(images))
    assert not mark.exists()
    torch_opens(path)  # the trap is a real one
    assert mark.exists()


@pytest.mark.parametrize("kind", ["weights", "constants"])
def test_pickled_weights_and_constants_are_refused(path, tmp_path, kind):
    mark = tmp_path / "ran"
    if kind == "weights":
        edited(path, "weights/weight_0", lambda _: pickled(mark))
        edited(path, "model_weights_config.json",
               changed(lambda v: v["config"]["block.0.weight"].update(use_pickle=True)))  # fmt: skip
    else:
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        edited(path, "model_constants_config.json", changed(lambda v: v["config"].update(x=entry)))
    with pytest.raises(ModelError, match=r"holds Python objects .* was refused; .* save the state dict"):
        load_model(str(path))
    torch_opens(path)
    assert mark.exists() == (kind == "weights")  # a real trap, where torch opens it


@pytest.mark.parametrize("kind", ["weights", "constants"])
def test_pickles_of_older_files_are_opened_as_tensors_only(path, tmp_path, kind):
    """torch 2.8 kept a pickle of all tensors in the place of the raw values."""
    table = f"data/{kind}/model_{kind}_config.json"

    def older(content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if not name.endswith(table)}
        members[f"{next(iter(members)).split('/')[0]}/data/{kind}/model.pt"] = content
        with zipfile.ZipFile(path, "w") as archive:
            for name, member in members.items():
                archive.writestr(name, member)

    whole = path.read_bytes()
    tensors = io.BytesIO()
    torch.save(dict(net().state_dict(keep_vars=True)) if kind == "weights" else {}, tensors)
    older(tensors.getvalue())
    images = torch.rand(3, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(load_model(str(path)).module(images), net()(images))
    path.write_bytes(whole)
    older(pickled(tmp_path / "ran"))
    with pytest.raises(ModelError, match=rf"holds Python objects among its {kind}"):
        load_model(str(path))
    assert not (tmp_path / "ran").exists()
    torch_opens(path)
    assert (tmp_path / "ran").exists()  # the trap is a real one


def node(values: Any) -> Any:
    return values["graph_module"]["graph"]["nodes"][0]


PROGRAMS: list[tuple[str, Callable[[Any, str], object], str]] = [
    ("a function", lambda v, mark: node(v).update(target="torch.save"), "calls 'torch.save'"),
    ("a hidden attribute", lambda v, mark: node(v).update(target="torch.ops.aten.__class__.mro"), "calls"),
    ("a file", lambda v, mark: node(v).update(target="torch.ops.aten.from_file.default"), "takes a text (filename)"),
    ("a size", lambda v, mark: v["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0]["as_expr"].update(
        expr_str=f"__import__('os').system('touch {mark}')"), "has a size"),
    ("a method in a size", lambda v, mark: v["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0][
        "as_expr"].update(expr_str=f"Symbol('s77').__class__('{mark}')"), "has a size"),
    ("a tower of powers", lambda v, mark: v["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0][
        "as_expr"].update(expr_str="Pow(Integer(9), Pow(Integer(9), Integer(9)))"), "has a size"),
    ("a name with code", lambda v, mark: node(v)["outputs"][0]["as_tensor"].update(
        name=f"x=open('{mark}','w')\n"), "has a word"),
    ("a module with code", lambda v, mark: v["graph_module"]["module_call_graph"][1].update(
        fqn=f'a"),open("{mark}","w")'), "has a word"),
    ("a stack with code", lambda v, mark: node(v)["metadata"].update(
        nn_module_stack=f'L__self__,a"b{mark},torch.nn.Linear'), "has a module"),
    ("a container that imports", lambda v, mark: v["graph_module"]["module_call_graph"][0]["signature"].update(
        out_spec=json.dumps([1, {"type": "collections.defaultdict", "context": json.dumps(
            {"default_factory_module": "antigravity", "default_factory_name": "x", "dict_context": []}),
            "children_spec": []}])), "takes or gives a 'collections.defaultdict'"),
    ("an enum that imports", lambda v, mark: v["graph_module"]["module_call_graph"][0]["signature"].update(
        out_spec=json.dumps([1, {"type": "builtins.dict", "context": json.dumps(
            [{"__enum__": True, "fqn": "antigravity:x", "name": "y"}]), "children_spec": []}])), "has names"),
    ("a huge number", lambda v, mark: node(v)["inputs"].append(
        {"name": "y", "arg": {"as_int": 10**400}, "kind": 1}), "has a number"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), [p[1:] for p in PROGRAMS], ids=[p[0] for p in PROGRAMS])
def test_programs_of_more_than_plain_operators_are_refused_unread(path, tmp_path, monkeypatch, change, words):
    mark = tmp_path / "ran"
    edited(path, "models/model.json", changed(lambda values: change(values, str(mark))))
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("torch saw the file"))
    with pytest.raises(ModelError) as caught:
        load_model(str(path))
    assert words in str(caught.value)
    assert "so it was refused" in str(caught.value)
    assert not mark.exists()


def test_code_for_guards_is_left_out(path, tmp_path):
    mark = tmp_path / "ran"
    edited(path, "models/model.json", changed(lambda v: v.update(guards_code=[f"open('{mark}', 'w')"])))
    load_model(str(path)).module(torch.rand(2, *SHAPE))
    assert not mark.exists()


def test_compiled_code_and_other_archives_are_refused(path, tmp_path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("p/data/aotinductor/model/x.so", b"\x7fELF")
    with pytest.raises(ModelError, match="holds compiled code, so it was refused"):
        load_model(str(path))
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(ModelError, match=r"exported by torch 2\.7 or older; load and save it again"):
        load_model(str(tmp_path / "old.pt2"))
    with zipfile.ZipFile(tmp_path / "packed.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/models/model.json", "{}")
    with pytest.raises(ModelError, match=r"torch\.export\.save did not write this archive"):
        load_model(str(tmp_path / "packed.pt2"))


def test_a_program_of_another_version(path):
    edited(path, "models/model.json", changed(lambda v: v["schema_version"].update(major=99)))
    with pytest.raises(ModelError, match=r"schema version 99, torch .* reads \d+; export it again"):
        load_model(str(path))


@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_damaged_programs(tmp_path, whole, kind):
    path = tmp_path / f"p.{kind}"
    content = whole[kind]
    for size in (1, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"copy or save it again"):
            load_model(str(path))
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="the file is empty"):
        load_model(str(path))
    path.write_bytes(b"<html>404: not found</html>" * 50)
    with pytest.raises(ModelError, match="copy or save it again"):
        load_model(str(path))
    with pytest.raises(ModelError, match="there is no weight file"):
        load_model(str(tmp_path / f"none.{kind}"))


def test_weights_that_are_not_finite_or_not_there(path, tmp_path):
    edited(path, "weights/weight_1", lambda raw: b"\x00\x00\xc0\x7f" + raw[4:])
    with pytest.raises(ModelError, match="values that are NaN or infinite"):
        load_model(str(path))
    edited(path, "weights/weight_1", lambda raw: raw[:4])
    with pytest.raises(ModelError, match="cannot read the program"):
        load_model(str(path))


def forward(path: Path, line: str) -> Path:
    """The TorchScript file with a line of code more at the start of its network's forward."""

    def change(content: bytes) -> bytes:
        text = content.decode()
        at = text.index(":\n", text.index("def forward")) + 2
        return (text[:at] + f"    {line}\n" + text[at:]).encode()

    with zipfile.ZipFile(path) as archive:
        code = next(n for n in archive.namelist() if n.endswith(".py") and b"class Net(" in archive.read(n))
    return edited(path, code, change)


@pytest.mark.parametrize(
    "line",
    [
        "torch.save(x, '{mark}')",
        "_0 = torch.from_file('{mark}', True, 4)",
        "ops.debugprims.load_tensor('{mark}', [1], [1])",
        "torch.save\\\n(x, '{mark}')",
    ],
)
def test_torchscript_that_names_files_is_refused_unread(tmp_path, whole, line):
    (tmp_path / "s.pt").write_bytes(whole["pt"])
    mark = tmp_path / "ran"
    forward(tmp_path / "s.pt", line.format(mark=mark))
    with pytest.raises(ModelError, match=r"with which files could be read or written, so it was refused"):
        load_model(str(tmp_path / "s.pt"))
    assert not mark.exists()
    if line.startswith("torch.save("):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.load(str(tmp_path / "s.pt"))(torch.rand(2, *SHAPE))
        assert mark.exists()  # the trap is a real one


@pytest.mark.parametrize("member", ["/data.pkl", "/constants.pkl", "/traced_inputs.pkl"])
def test_python_in_the_pickles_of_torchscript_is_not_run(tmp_path, whole, member):
    (tmp_path / "s.pt").write_bytes(whole["pt"])
    mark = tmp_path / "ran"
    edited(tmp_path / "s.pt", member, lambda _: pickle.dumps(Trap(mark), protocol=2))
    if member == "/traced_inputs.pkl":
        with pytest.raises(ModelError, match="do not fit the TorchScript program"):
            load_model(str(tmp_path / "s.pt"))  # the size of its images is not known then
    else:
        with pytest.raises(ModelError, match="cannot read the TorchScript program"):
            load_model(str(tmp_path / "s.pt"))
    assert not mark.exists()


def test_torchscript_whose_tensors_lie_outside_their_members(tmp_path, whole):
    """Found by `python -m benchmarks.fuzz --kind programs`: torch's reader crashes on these."""
    for kind, change in {
        "short": ("/data/0", lambda raw: raw[:4]),
        "long": ("/data.pkl", lambda raw: raw.replace(b"K\x05", b"K\xfa")),  # 5 classes become 250
    }.items():
        path = tmp_path / f"{kind}.pt"
        path.write_bytes(whole["pt"])
        edited(path, *change)
        with pytest.raises(ModelError, match=r"is damaged \(a tensor of [\d,]+ values in [\d,]+ bytes\)"):
            load_model(str(path))
    path.write_bytes(whole["pt"])
    edited(path, "/data.pkl", lambda raw: raw.replace(b"_rebuild_tensor_v2", b"_rebuild_sparse_xx"))
    with pytest.raises(ModelError, match="tensors of another kind"):
        load_model(str(path))
