"""Shared use with a login: Streamlit's OpenID Connect against a provider on the loopback, in a real Chromium."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import open_page
from tests.e2e.test_app import drawn

pytest.importorskip("authlib", reason="the extra 'login' is not installed")
from benchmarks.serving import free_port, serving
from benchmarks.socket_session import SocketSession
from tests.e2e.oidc_provider import Provider

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def provider():
    with Provider("fssd", "client-secret") as made:
        yield made


@pytest.fixture(scope="module")
def url(provider, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    port = free_port()
    (home / ".streamlit").mkdir()
    (home / ".streamlit" / "secrets.toml").write_text(
        f"""[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "{"s" * 40}"
client_id = "fssd"
client_secret = "client-secret"
server_metadata_url = "{provider.url}/.well-known/openid-configuration"
"""
    )
    environment = {"HOME": str(home), "NO_PROXY": "127.0.0.1"}
    with serving(home, "--login", "@school.example", port=port, **environment) as server:
        yield server.url


def log_in(page: Any) -> None:
    page.get_by_role("button", name="Log in").wait_for(timeout=60_000)
    assert page.get_by_text("Features around").count() == 0
    assert page.locator("[data-testid=stSidebar] [data-testid=stSelectbox]").count() == 0
    page.get_by_role("button", name="Log in").click()


def test_a_known_address_comes_in_and_out_again(browser, url, provider):
    provider.email, provider.verified = "Anna@School.example", True
    with open_page(browser, url) as page:
        log_in(page)
        page.get_by_text("Anna@School.example").wait_for(timeout=60_000)
        drawn(page)
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("button", name="Log in").wait_for(timeout=60_000)


@pytest.mark.parametrize(
    ("email", "verified"), [("eve@elsewhere.example", True), ("anna@school.example", False), ("", True)]
)
def test_others_and_unverified_addresses_stay_outside(browser, url, provider, email, verified):
    provider.email, provider.verified = email, verified
    with open_page(browser, url) as page:
        log_in(page)
        page.get_by_text("is not among those that may use this dashboard").wait_for(timeout=60_000)
        assert page.locator("[data-testid=stSidebar] [data-testid=stSelectbox]").count() == 0


def test_without_the_cookie_a_bare_websocket_gets_no_page(url):
    async def look() -> tuple[list[str], list[str]]:
        async with SocketSession(url, query="view=UMAP") as session:
            return session.words, list(session.widgets)

    with ThreadPoolExecutor(1) as apart:  # playwright has the event loop of this thread
        words, widgets = apart.submit(lambda: asyncio.run(look())).result()
    assert any("Log in to use it" in w for w in words)
    assert widgets == ["Log in"]
