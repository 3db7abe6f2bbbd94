"""The tree keeps its shape: imports run one way, nothing needs the network, the documents tell the truth."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fssd_core

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "fssd_core").rglob("*.py"))


def test_importing_the_core_loads_no_front_end():
    code = (
        "import sys, pkgutil, importlib, fssd_core\n"
        "for m in pkgutil.walk_packages(fssd_core.__path__, 'fssd_core.'):\n"
        "    importlib.import_module(m.name)\n"
        "print([m for m in ('streamlit', 'plotly', 'umap', 'pytorch_ood', 'app') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.name)
def test_torchvision_is_imported_through_one_door(path):
    if path.name == "vision.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.split(".")[0] == "torchvision" for name in names), path


@pytest.mark.parametrize("path", sorted((ROOT / "app" / "figures").glob("*.py")), ids=lambda p: p.name)
def test_figures_know_no_streamlit(path):
    assert not re.search(r"^\s*(import|from) streamlit", path.read_text(), re.M)


def test_shipped_pages_name_no_outside_address():
    for path in sorted((ROOT / "app" / "components").rglob("*")):
        if path.suffix in (".js", ".css", ".html"):
            found = re.findall(r"https?://(?!www\.w3\.org/)[^\s\"'`)]+", path.read_text())
            assert found == [], (path, found)


def test_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == fssd_core.__version__


def test_links_and_pictures_of_the_documents_exist():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), (page.name, target)


def test_the_readmes_python_prints_the_numbers_it_states(capsys):
    if importlib.util.find_spec("pytorch_ood") is None:
        pytest.skip("pytorch-ood is not installed")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    code = "\n".join(blocks)
    stated = [float(n) for n in re.findall(r"print\(.*# ([\d.]+)$", code, re.M)]
    assert len(stated) == 3
    exec(compile(code, "README.md", "exec"), {})
    printed = [float(line) for line in capsys.readouterr().out.split()]
    assert printed == pytest.approx(stated, abs=6e-5)


def test_public_names_have_docstrings():
    for name in fssd_core.__all__:
        assert (getattr(fssd_core, name).__doc__ or "").strip(), name
