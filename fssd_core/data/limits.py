"""How much of a stranger's file is read, in one place; what is beyond is refused before it is read."""

from __future__ import annotations

import unicodedata

MAX_BYTES = 2 * 2**30  # pixels of one set in memory
MAX_PIXELS = 50_000_000  # of one picture: a small file can claim more than memory holds
MAX_SIDE = 512  # of pictures whose size the caller leaves open
MAX_FILES = 200_000  # pictures of one set, in a folder, a list or a table
MAX_MEMBERS = 50_000  # entries of one .zip
MAX_MEMBER = 64 * 2**20  # bytes of one unpacked entry
MAX_UNPACKED = 2**30  # bytes of all unpacked entries
MAX_UPLOAD = 200 * 2**20  # bytes of one file sent through the browser; the server refuses more
MAX_UPLOADS = 2_000  # files sent at once
MAX_NAME = 120  # letters of a stranger's file name that are shown


def shown(name: str) -> str:
    """A stranger's name for messages: control, direction and unprintable characters become '�', its middle is cut."""
    clean = "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else c for c in name)
    if len(clean) <= MAX_NAME:
        return clean
    return f"{clean[: MAX_NAME - 31]}…{clean[-30:]}"


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind; safe to show."""
    return shown((str(error).strip().splitlines() or [type(error).__name__])[0])
