"""The page 'Your model' with exported programs: refused without the operator's flag, opened with it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from app.own_model import samples_for
from fssd_core.models.program_flag import VARIABLE
from tests.app.test_views import errors, home, start
from tests.core.program_nets import export, net, script

__all__ = ["home"]


def text(app: AppTest) -> str:
    return " ".join(element.value for element in [*app.caption, *app.markdown])


def uploaded(path: Path) -> AppTest:
    """The page with this file in its uploader."""
    app = start("own_model")
    app.file_uploader(key="own-checkpoint").set_value((path.name, path.read_bytes(), "application/octet-stream")).run()
    return app


@pytest.mark.parametrize("kind", ["pt2", "pt"])
def test_without_the_flag_programs_are_refused_with_the_flags_name(home, monkeypatch, tmp_path, kind):
    monkeypatch.delenv(VARIABLE, raising=False)
    export(net(), home / "offered.pt2")
    app = uploaded(export(net(), tmp_path / "p.pt2") if kind == "pt2" else script(net(), tmp_path / "p.pt"))
    told = errors(app)
    assert f"p.{kind}" in told
    assert "which is code; it is opened only where the operator started with --allow-exported-programs" in told
    load = "torch.export.load" if kind == "pt2" else "torch.jit.load"
    assert app.code[0].value.startswith(f"program = {load}('p.{kind}')\ntorch.save(program.state_dict")
    assert not any("offered" in option for option in app.sidebar.selectbox(key="model").options)
    assert "nothing is executed" in text(app)
    assert not [b for b in app.button if "Open in Features" in b.label]


def test_without_the_flag_a_program_below_the_data_root_is_refused_too(home, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    app = start("own_model", model=script(net(), home / "s.pt").name)
    assert "--allow-exported-programs" in errors(app)


def test_with_the_flag_a_program_reaches_the_features_page(home, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    path = export(net(), home / "p.pt2", batch=4, shape=(1, 10, 10))
    app = start("own_model", model=path.name)
    assert errors(app) == ""
    said = text(app)
    assert "**torch.export**" in said
    assert "It was exported for 4 images at once" in said
    assert "exported programs alone are run, which the operator allows" in said
    assert next(n for n in app.number_input if n.label == "Image side").disabled
    app.button(key="own-go").click().run()
    assert errors(app) == ""
    kept = app.session_state["model"]
    assert kept.endswith("/p.pt2")
    assert kept != str(path)


def test_with_the_flag_torchscript_says_what_became_of_it(home, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    app = start("own_model", model=script(net(), home / "s.pt").name)
    assert errors(app) == ""
    assert "It is run as a TorchScript program, its weights fit no known architecture" in text(app)
    assert "only its output can be read" in text(app)


def test_a_slow_network_begins_with_fewer_samples():
    assert [samples_for(macs) for macs in (1, 41_000_000, 300_000_000, 1_800_000_000, 4_100_000_000)] == [
        *(10_000, 10_000, 1_000, 200, 200)
    ]
