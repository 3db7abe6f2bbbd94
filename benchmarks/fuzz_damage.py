"""Ways to damage a file, drawn from a generator: cuts, flips, wrong numbers, splices, and edits inside archives."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
BAD_INTS = (0, 1, -1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 10**9)
BAD_WORDS = (
    b"", b"\0", b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 40, b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"../",
    b"/etc/passwd", b"\xff\xfe", b"\xed\xa0\x80", "\u202e".encode(), b"<script>", b"%00", b"[" * 2000, b'{"a":' * 500,
    b"\x1b[2J", b"a" * 5000, b"//", b"~root", b"C:\\x", b"$(x)", b"-0.0", b"0x10", b"1_0", b"\xd9\xa1",
)  # fmt: skip

BAD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**40, -0.0, 1e308, float("nan"), float("inf"), "", "x", "\0", "\ud800",
    "../../etc/passwd", "/dev/zero", "/" + "a" * 300, "a" * 5000, [], [[]], [None], [1, 2], ["mnist", "mnist"], {},
    {"a": 1}, "fmnist:test", "demo/lenet@300", "demo/lenet@", "run/../x", "<b>", "conv1", ["conv1", "nope"],
    "uniform-noise", 8, 0.5,
)  # fmt: skip


def damaged_json(values: Any, rng: Rng) -> Any:
    """The same object with one value, however deep, exchanged, taken away or added."""
    copy = json.loads(json.dumps(values))
    place, keys = copy, _keys(copy)
    while keys:
        key = keys[int(rng.integers(len(keys)))]
        inner = _keys(place[key])
        if not inner or rng.random() < 0.4:
            break
        place, keys = place[key], inner
    if not keys:
        return BAD_VALUES[int(rng.integers(len(BAD_VALUES)))]
    choice = rng.random()
    if choice < 0.8:
        place[key] = BAD_VALUES[int(rng.integers(len(BAD_VALUES)))]
    elif choice < 0.9:
        del place[key]
    elif isinstance(place, dict):
        place[f"{key}x"] = place[key]
    else:
        place.append(place[key])
    return copy


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []


def damaged(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    """One to four damages, one after the other; archives are mostly opened, damaged inside and packed anew."""
    for _ in range(int(rng.integers(1, 5))):
        inner = _inside(content, others, rng) if rng.random() < 0.6 else None
        content = inner if inner is not None else DAMAGES[int(rng.integers(len(DAMAGES)))](content, others, rng)
    return content[: 8 * 2**20]


def _place(content: bytes, rng: Rng) -> int:
    """A position; headers and ends, where formats keep their numbers, more often."""
    size = max(1, len(content))
    kind = rng.random()
    if kind < 0.4:
        return int(rng.integers(min(size, 256)))
    return size - 1 - int(rng.integers(min(size, 256))) if kind < 0.6 else int(rng.integers(size))


def _cut(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    return content[: _place(content, rng)]


def _flip(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    raw = bytearray(content or b"\0")
    for _ in range(int(rng.integers(1, 17))):
        raw[min(_place(content, rng), len(raw) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(raw)


def _number(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    code, size = (("B", 1), ("<H", 2), (">H", 2), ("<I", 4), (">I", 4), ("<Q", 8), (">Q", 8))[int(rng.integers(7))]
    at = _place(content, rng)
    value = BAD_INTS[int(rng.integers(len(BAD_INTS)))] % 2 ** (8 * size)
    return content[:at] + struct.pack(code, value) + content[at + size :]


def _remove(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + int(rng.integers(1, 64)) :]


def _repeat(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    at, size = _place(content, rng), int(rng.integers(1, 64))
    return content[:at] + content[at : at + size] * int(rng.integers(2, 50)) + content[at + size :]


def _noise(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    at = _place(content, rng)
    return content[:at] + rng.bytes(int(rng.integers(1, 64))) + content[at:]


def _word(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    at = _place(content, rng)
    word = BAD_WORDS[int(rng.integers(len(BAD_WORDS)))]
    return content[:at] + word + content[at + (len(word) if rng.random() < 0.3 else int(rng.integers(8))) :]


def _splice(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    other = others[int(rng.integers(len(others)))]
    return content[: _place(content, rng)] + other[_place(other, rng) :]


Damage = Callable[[bytes, list[bytes], Rng], bytes]
DAMAGES: tuple[Damage, ...] = (_cut, _flip, _number, _remove, _repeat, _noise, _word, _splice)


def _inside(content: bytes, others: list[bytes], rng: Rng) -> bytes | None:
    """Damage behind the checksums: in an entry of a zip, in a PNG's chunk, in a gzip; None where there is none."""
    if content[:2] == b"PK":
        return _in_zip(content, others, rng)
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return _in_png(content, others, rng)
    if content[:2] == b"\x1f\x8b":
        try:
            plain = zlib.decompressobj(31).decompress(content, 2**20)
        except zlib.error:
            return None
        packer = zlib.compressobj(wbits=31)
        return packer.compress(_one(plain, others, rng)) + packer.flush()
    return None


def _one(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    return DAMAGES[int(rng.integers(len(DAMAGES)))](content, others, rng)


def _in_zip(content: bytes, others: list[bytes], rng: Rng) -> bytes | None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [(i.filename, i.compress_type, archive.open(i).read(2**22)) for i in archive.infolist()[:50]]
    except Exception:  # noqa: BLE001 - whatever an already damaged archive raises: then it is damaged from outside
        return None
    if not entries:
        return None
    at = int(rng.integers(len(entries)))
    name, packing, inner = entries[at]
    choice = rng.random()
    if choice < 0.7:
        entries[at] = (
            name,
            packing,
            (_inside(inner, others, rng) if rng.random() < 0.5 else None) or _one(inner, others, rng),
        )
    elif choice < 0.8:
        entries[at] = (_one(name.encode(), [b"../x.png", b"images.npy"], rng).decode("latin-1"), packing, inner)
    elif choice < 0.9:
        entries.pop(at)
    else:
        entries.append((name, packing, inner))
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, packing, inner in entries:
                info = zipfile.ZipInfo("x")
                info.filename, info.compress_type = name, packing
                archive.writestr(info, inner)
    except Exception:  # noqa: BLE001 - a name or packing that cannot be written
        return None
    return buffer.getvalue()


def _in_png(content: bytes, others: list[bytes], rng: Rng) -> bytes:
    """One chunk damaged, its checksum made right again."""
    chunks, at = [], 8
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return _one(content, others, rng)
    which = int(rng.integers(len(chunks)))
    chunks[which] = (chunks[which][0], _one(chunks[which][1], others, rng)[: 2**20])
    out = content[:8]
    for kind, body in chunks:
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return out
