"""Strangers' names on the page: text, and nothing else."""

from __future__ import annotations

import pytest

from app.names import inert, title_of


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a.npz: 5 images, (5, 28, 28)", "a.npz: 5 images, (5, 28, 28)"),
        ("![x](http:/evil/y.png)", "!\\[x\\](http\u2060:/evil/y.png)"),
        ("<img src=x>", "\\<img src=x>"),
        (":red[hot] $x$", "\\:red\\[hot\\] \\$x\\$"),
        ("Around F* of fc", "Around F\\* of fc"),
        ("www.evil.example", "www\u2060.evil.example"),
        ("no array `images[0]`; <b>", "no array `images[0]`; \\<b>"),
    ],
)
def test_markup_in_a_message_is_text(text, safe):
    assert inert(text) == safe


def test_titles_of_files_carry_no_markup_and_no_control_characters(tmp_path, monkeypatch):
    monkeypatch.setenv("FSSD_DATA_ROOT", str(tmp_path))
    assert title_of(str(tmp_path.resolve() / "<b>[x](y)`$\x1b\u202e.zip")) == "‹b›(x)(y)'_\ufffd\ufffd.zip"
    assert title_of("/elsewhere/0123456789/a.zip") == "a.zip (012345)"


def test_registered_names_stay_as_they_are():
    assert (
        inert("A false alarm: fmnist:test, row 3. fmnist:train too")
        == "A false alarm: fmnist:test, row 3. fmnist:train too"
    )
    assert inert(":material/bolt: :smile:") == "\\:material/bolt: \\:smile:"
