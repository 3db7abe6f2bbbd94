"""Who may come in where the operator asks for a login."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from app.login import welcome


@pytest.mark.parametrize(
    ("email", "wanted", "expected"),
    [
        ("anna@school.example", "*", True),
        ("", "*", True),
        ("Anna@School.Example", "anna@school.example", True),
        ("anna@school.example", "eve@x.example, @school.example", True),
        ("anna@oldschool.example", "@school.example", False),
        ("anna@school.example.evil", "@school.example", False),
        ("school.example", "@school.example", False),
        ("anna@other.example", "anna", False),
        ("", "@school.example,", False),
        ("", ",", False),
    ],
)
def test_the_list_is_of_whole_addresses_and_domains(email, wanted, expected):
    assert welcome(email, wanted) is expected


def test_a_login_without_a_provider_shows_no_page(monkeypatch):
    monkeypatch.setenv("FSSD_LOGIN", "*")
    page = AppTest.from_file("../../app/main.py", default_timeout=60).run()
    assert not page.exception
    assert not page.sidebar.selectbox
    assert "Log in" in [b.label for b in page.button] or "[auth]" in page.error[0].value
