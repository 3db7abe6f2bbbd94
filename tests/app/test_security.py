"""The server's guards: who may ask, what an address may name, how much may be sent."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("streamlit")
from PIL import Image

from app.__main__ import main
from fssd_core.data.limits import MAX_UPLOAD
from tests.app.test_views import errors, home, start  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parents[2]
GUARDS = {
    "server.address": "127.0.0.1",
    "server.enableXsrfProtection": True,
    "server.enableCORS": True,
    "server.maxUploadSize": MAX_UPLOAD // 2**20,
    "browser.gatherUsageStats": False,
}


def test_both_ways_to_start_listen_to_this_machine_alone_and_keep_every_guard(monkeypatch):
    from streamlit.web import bootstrap

    seen: dict[str, object] = {}
    monkeypatch.setattr(bootstrap, "run", lambda _path, _hello, _args, flags: seen.update(flags))
    monkeypatch.setattr("streamlit.config.set_option", lambda name, value: seen.update({name: value}))
    assert main(["--no-browser", "--port", "8599"]) == 0
    with (ROOT / ".streamlit" / "config.toml").open("rb") as file:
        sections = tomllib.load(file)
    for name, value in GUARDS.items():
        section, key = name.split(".")
        assert seen[name] == seen[name.replace(".", "_")] == value, name
        assert sections[section][key] == value, name


@pytest.mark.parametrize("bad", ["/etc/passwd", "../../secret", "outside", "link", "\0", "demo/../../x", "<img src=x>"])
def test_an_address_can_name_only_what_is_offered(home, bad):  # noqa: F811
    outside = home.parent / "outside"
    outside.mkdir()
    np.savez(outside / "secret.npz", images=np.full((40, 28, 28), 7, np.uint8))
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(outside / "1.png")
    (home / "link").symlink_to(outside)
    (home / "link.npz").symlink_to(outside / "secret.npz")
    asked = {"outside": str(outside / "secret.npz"), "link": str(home / "link.npz")}.get(bad, bad)
    app = start(model=asked, ind=asked, ood=asked, layer=asked, set=asked, arch=asked)
    assert errors(app) == ""
    study = app.session_state["_study"]
    offered = {"fmnist:test", "photo-patches", "fmnist-inverted", "mnist"}
    assert study.model == "demo/lenet"
    assert study.ind == "fmnist:test"
    assert set(study.ood) <= offered
    assert not [o for o in app.sidebar.multiselect(key="ood").options if "link" in o or "secret" in o]
