"""The outermost bytes of an artifact: preamble, header, payload, under one checksum.

    0   8  magic                        20  8  bytes of the whole file
    8   2  version                      28  32 sha256 of bytes 0..28 and 60..end
    10  1  codec of the header          60  .. header: JSON, perhaps compressed
    11  1  zero                         ..  .. payload: sections, one behind the other
    12  4  stored bytes of the header
    16  4  bytes of the header, expanded

All numbers are little-endian and without sign.
"""

from __future__ import annotations

import hashlib
import json
import stat
import struct
from pathlib import Path
from typing import Any

from foldover.core import ArtifactError, to_json
from foldover.export.codecs import PLAIN_CODECS, compress, decompress

MAGIC = b"\x89FOLDOV\n"
VERSION = 1
MOST_HEADER_BYTES = 1 << 22
MOST_FILE_BYTES = 1 << 32

_PREAMBLE = struct.Struct("<8sHBBIIQ")
_CHECKED_FROM = _PREAMBLE.size + 32
_DAMAGED = "The file is damaged: export again."


def seal(header: object, payload: bytes) -> bytes:
    """The bytes of an artifact. Raises ArtifactError if the header is too long to be opened again."""
    text = to_json(header).encode()
    if len(text) > MOST_HEADER_BYTES:
        raise ArtifactError(
            f"an artifact's header has at most {MOST_HEADER_BYTES} bytes",
            value=len(text),
            fix="Put what is long in a blob.",
        )
    index, stored = min(enumerate(compress(text, codec) for codec in PLAIN_CODECS), key=lambda item: len(item[1]))
    total = _CHECKED_FROM + len(stored) + len(payload)
    preamble = _PREAMBLE.pack(MAGIC, VERSION, index, 0, len(stored), len(text), total)
    return b"".join((preamble, _digest(preamble, stored, payload), stored, payload))


def unseal(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Header and payload. Raises ArtifactError for anything but a whole artifact of this version."""
    if len(data) < _CHECKED_FROM or data[: len(MAGIC)] != MAGIC:
        raise _foreign()
    _, version, codec, zero, stored, size, total = _PREAMBLE.unpack_from(data)
    if version != VERSION:
        raise ArtifactError("the artifact has another version", value=version, fix=f"This foldover reads {VERSION}.")
    if total != len(data):
        raise ArtifactError(f"the artifact is cut short or goes on: {len(data)} of {total} bytes", fix=_DAMAGED)
    view = memoryview(data)
    rest = view[_CHECKED_FROM:]
    if bytes(view[_PREAMBLE.size : _CHECKED_FROM]) != _digest(view[: _PREAMBLE.size], rest):
        raise ArtifactError("the artifact's checksum is wrong", fix=_DAMAGED)
    if zero or codec >= len(PLAIN_CODECS) or stored > len(rest) or size > MOST_HEADER_BYTES:
        raise ArtifactError("the artifact's preamble is not possible", value=(codec, stored, size), fix=_DAMAGED)
    return _parse(decompress(bytes(rest[:stored]), PLAIN_CODECS[codec], size)), rest[stored:]


def read_bytes(source: Path | bytes) -> bytes:
    """The whole file. Raises ArtifactError if there is none or it cannot be an artifact: then it is not read."""
    if isinstance(source, bytes):
        return source
    try:
        facts = source.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise ArtifactError(f"{source} is no file that can be read whole")
        if facts.st_size > MOST_FILE_BYTES:
            raise ArtifactError(f"an artifact has at most {MOST_FILE_BYTES} bytes", value=facts.st_size)
        with source.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise _foreign()
            file.seek(0)
            return file.read()
    except OSError as error:
        raise ArtifactError(f"the artifact {source} cannot be read: {error.strerror or error}") from None


def _foreign() -> ArtifactError:
    return ArtifactError("this is not an artifact of foldover", fix="Give the file that `foldover export` wrote.")


def _digest(*pieces: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _parse(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the artifact's header is not JSON: {error}"[:200], fix=_DAMAGED) from None
    if not isinstance(found, dict):
        raise ArtifactError("the artifact's header is not an object", fix=_DAMAGED)
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found
