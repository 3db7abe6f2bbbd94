"""A bundle as bytes: a plain zip of bundle.json and fss.safetensors, the same bytes for the same content.

Members are stored, not compressed, so nothing can grow when it is read. A digest covers every fact and F*; the zip
around them must be the very one this module writes. No pickle, no code, no file is ever extracted. See docs/bundle.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load, save

from fssd_core.atomic import write_bytes
from fssd_core.bundle_json import bundle_of, facts_of
from fssd_core.bundle_types import Bundle
from fssd_core.errors import InputError, ModelError, first_line

FORMAT, VERSION = "fssd-bundle", 1
SUFFIX = ".fssd"
FACTS, TENSORS = "bundle.json", "fss.safetensors"
MAX_BYTES = 2**29
MAX_FACTS = 2**20
MAX_DIRECTORY = 2**16
_END, _END64 = b"PK\x05\x06", b"PK\x06\x07"
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError, struct.error)


def bundle_bytes(bundle: Bundle) -> bytes:
    """The .fssd file's content: the same for the same bundle, on any machine and at any time.

    Raises:
        InputError: more than 512 MiB, or more than 1 MiB of facts.
    """
    tensors = save(bundle.fss)
    text = _text(_signed(facts_of(bundle), tensors))
    content = _pack(text, tensors)
    if len(content) > MAX_BYTES or len(text) > MAX_FACTS:
        raise InputError(
            f"the bundle has {len(content)} bytes, {len(text)} of them facts; allowed are {MAX_BYTES} and {MAX_FACTS}. "
            "Choose fewer or smaller layers"
        )
    return content


def bundle_digest(bundle: Bundle) -> str:
    """The SHA-256 inside the file, over all facts and F*: the bundle's identity."""
    return str(_signed(facts_of(bundle), save(bundle.fss))["digest"])


def save_bundle(path: str | Path, bundle: Bundle) -> None:
    """Writes the file whole or not at all.

    Raises:
        InputError: the name does not end in .fssd, or the folder is not there.
        OSError: it cannot be written; what was there before is kept.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise InputError(f"{path} was given; a bundle's name ends in {SUFFIX}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    write_bytes(path, bundle_bytes(bundle))


def read_bundle(source: str | Path | bytes) -> Bundle:
    """The bundle of a file or of its bytes.

    Raises:
        ModelError: missing, no bundle, cut off, edited, with other members, too large, or of a newer version.
    """
    if isinstance(source, bytes):
        return _read(source, "the bundle")
    path = Path(source).expanduser()
    try:
        if not path.is_file():
            raise ModelError(f"no file {str(path)!r}; give a bundle ({SUFFIX}) made by `fssd export` or the dashboard")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ModelError(f"{path} has {size} bytes; a bundle has at most {MAX_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error}); check its permissions") from error
    return _read(content, str(path))


def _read(content: bytes, name: str) -> Bundle:
    text, tensors = _unpack(content, name)
    facts = _parse(text, name)
    if _pack(text, tensors) != content:
        raise ModelError(f"{name} was edited or damaged outside its two files; take the original, or export it again")
    stated = facts.pop("digest", None)
    signed = _signed(facts, tensors)
    if stated != signed["digest"] or facts["fss"].get("sha256") != signed["fss"]["sha256"]:
        raise ModelError(f"{name} was edited or damaged: its digest does not agree; take the original, or export again")
    try:
        fss = load(tensors)
        bundle = bundle_of(facts, fss)
        if _text(_signed(facts_of(bundle), tensors)) != text:
            raise InputError("facts that are unknown or written in another way")
    except (InputError, SafetensorError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ModelError(f"{name} holds what no bundle holds: {first_line(error)}; export it again") from error
    return bundle


def _unpack(content: bytes, name: str) -> tuple[bytes, bytes]:
    """(bundle.json, fss.safetensors) of a zip with nothing else in it; sizes are judged before anything is read."""
    if len(content) > MAX_BYTES:
        raise ModelError(f"{name} has {len(content)} bytes; a bundle has at most {MAX_BYTES}")
    if content[:2] != b"PK":
        raise ModelError(f"{name} is no bundle (no zip file); give a file made by `fssd export` or the dashboard")
    end = content[-22:]
    if len(end) < 22 or end[:4] != _END:
        raise ModelError(f"{name} is cut off or damaged: its end is missing; copy it again")
    if content[-42:-38] == _END64:
        raise ModelError(f"{name} is no bundle (a zip of another kind, as PyTorch writes); give a {SUFFIX} file")
    if struct.unpack("<I", end[12:16])[0] > MAX_DIRECTORY:
        raise ModelError(f"{name} is no bundle: it lists too many files; a bundle holds {FACTS} and {TENSORS} only")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if FACTS not in members:
                raise ModelError(f"{name} is no bundle: a zip without {FACTS}")
            text = _stored(archive, members[FACTS], MAX_FACTS, name)
            _check_version(_parse(text, name), name)
            names = [info.filename for info in archive.infolist()]
            if names != [FACTS, TENSORS]:
                others = [n for n in names if n not in (FACTS, TENSORS)] or ["one of them missing or double"]
                raise ModelError(
                    f"{name} was refused: a bundle holds {FACTS} and {TENSORS} only, this one has "
                    f"{', '.join(map(ascii, others[:3]))}"
                )
            return text, _stored(archive, members[TENSORS], len(content), name)
    except _ZIP_ERRORS as error:
        raise ModelError(f"{name} is cut off or damaged ({first_line(error)}); copy it again") from error


def _stored(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, name: str) -> bytes:
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.file_size > limit:
        raise ModelError(
            f"{name} was refused: {info.filename} is packed or claims {info.file_size} bytes; "
            f"a bundle's files are stored plainly, {FACTS} with at most {MAX_FACTS} bytes"
        )
    return archive.read(info)


def _parse(text: bytes, name: str) -> dict[str, Any]:
    try:
        facts = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name}: its {FACTS} cannot be read ({first_line(error)}); export it again") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or not isinstance(facts.get("fss"), dict):
        raise ModelError(f"{name} is no bundle: its {FACTS} does not say format {FORMAT!r}")
    return facts


def _check_version(facts: Mapping[str, Any], name: str) -> None:
    version = facts.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelError(f"{name} states version {version!r}; this program reads 1 to {VERSION}")
    if version > VERSION:
        made_by = facts.get("versions")
        by = f" by fssd-explorer {made_by.get('fssd-explorer')!r}" if isinstance(made_by, dict) else ""
        raise ModelError(
            f"{name} has format version {version}, written{by}; this program reads up to {VERSION}. "
            "Update fssd-explorer, or export the bundle with this version"
        )


def _no_constant(word: str) -> float:
    raise ValueError(f"the number {word} is not finite")


def _signed(facts: Mapping[str, Any], tensors: bytes) -> dict[str, Any]:
    """The facts with the format, the hash of F* and a digest over all of it."""
    whole = {**facts, "format": FORMAT, "version": VERSION}
    whole["fss"] = {**facts["fss"], "sha256": hashlib.sha256(tensors).hexdigest()}
    return {**whole, "digest": hashlib.sha256(_text(whole)).hexdigest()}


def _text(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _pack(text: bytes, tensors: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in ((FACTS, text), (TENSORS, tensors)):
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, content)
    return file.getvalue()
