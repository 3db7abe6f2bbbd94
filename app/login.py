"""Shared use with a login: Streamlit's own OpenID Connect, asked for by the operator; else everybody is welcome."""

from __future__ import annotations

import os

import streamlit as st

VARIABLE = "FSSD_LOGIN"  # whom to let in: '*' for everyone the provider knows, or addresses and '@domains'


def enter() -> bool:
    """Whether this session may see the pages; if not, draws what it sees instead."""
    wanted = os.environ.get(VARIABLE, "").strip()
    if not wanted:
        return True
    try:
        known = bool(st.user.is_logged_in)
    except AttributeError:
        st.error(
            "A login was asked for, but .streamlit/secrets.toml has no [auth] section; docs/sharing.md shows one.",
            icon=":material/error:",
        )
        return False
    if not known:
        st.title("FSSD Explorer")
        st.write("This dashboard is shared by several people. Log in to use it; what you upload is yours alone.")
        st.button("Log in", type="primary", icon=":material/login:", on_click=st.login)
        return False
    email, checked = str(st.user.get("email") or ""), st.user.get("email_verified") is not False
    if welcome(email if checked else "", wanted):
        return True
    st.error(f"{email or 'This account'} is not among those that may use this dashboard.", icon=":material/block:")
    st.button("Log out", icon=":material/logout:", on_click=st.logout)
    return False


def account() -> None:
    """In the sidebar: who is logged in, and the way out."""
    if os.environ.get(VARIABLE, "").strip():
        st.caption(f":material/person: {st.user.get('email') or st.user.get('name') or 'logged in'}")
        st.button("Log out", type="tertiary", icon=":material/logout:", on_click=st.logout)


def welcome(email: str, wanted: str) -> bool:
    """Whether the list lets the address in: by '*', by itself or by its '@domain', in any case of letters.

    Args:
        email: a verified address; '' where there is none.
        wanted: comma-separated.
    """
    allowed = {part.strip().lower() for part in wanted.split(",")} - {""}
    name = email.lower()
    return "*" in allowed or ("@" in name and (name in allowed or f"@{name.rpartition('@')[2]}" in allowed))
