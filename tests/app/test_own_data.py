"""People's own data on the page: leaks are told where numbers are shown, notes of what was done to pictures too."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("streamlit")
from fssd_core.data import load_data
from tests.app.test_views import errors, home, start  # noqa: F401 - a fixture


def test_a_leak_is_told_on_the_page_under_the_files_own_name(home):  # noqa: F811
    test, other = load_data("fmnist:test").images, load_data("fmnist-rotated").images
    np.savez(home / "leaky.npz", images=np.concatenate([test[:60], other[:140]]))
    app = start(ood=["leaky.npz", "mnist"], n="200")
    assert errors(app) == ""
    leaks = [w.value for w in app.warning if "Leak" in w.value]
    assert leaks == [
        "**Leak**: 60 of 200 images of leaky.npz are also in fmnist:test (row 0, 1, 2 ...): no detector can tell them "
        "apart. Take them out of one side."
    ]
    clean = start(ood=["mnist"], n="200")
    assert not [w for w in clean.warning if "Leak" in w.value]


def test_small_leaks_are_told_where_alpha_is_fitted_and_nowhere_else(home):  # noqa: F811
    small = "3 of 1,500 test images of photo-patches"
    app = start(ood="photo-patches")
    assert not [c for c in app.caption if small in c.value]
    app.switch_page("views/tuning.py").run()
    assert errors(app) == ""
    assert [c for c in app.caption if small in c.value]
    assert not app.warning
