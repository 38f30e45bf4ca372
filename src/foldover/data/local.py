"""Corpora that lie on this machine: what a `path:` names, told by what is there.

path:/data/book.txt            one text: trained on nine tenths, measured on the rest
path:/data/essays              .txt, .md and .rst files, each a document
path:/data/dump.jsonl          JSON lines (also .jsonl.gz), or a folder of such files
path:/data/shards              shard_00000.parquet, ...: the last one is the validation side
path:/data/fineweb10B_sp1024   token shards ..._train_000000.bin and ..._val_000000.bin
path:/data/essays@1f3a9c02     the same, refused unless the digest of its content begins so
"""

from __future__ import annotations

import re
from pathlib import Path

from foldover.core import DataError
from foldover.data import json_lines, plain_text
from foldover.data.parquet import parquet_folder
from foldover.data.parts import StreamedSource
from foldover.data.token_folder import SUFFIX as BIN
from foldover.data.token_folder import TokenSource, token_folder

KINDS: dict[str, tuple[str, ...]] = {
    "Parquet": (".parquet",),
    "token shards": (BIN,),
    "JSON lines": json_lines.SUFFIXES,
    "text": plain_text.SUFFIXES,
}
_PIN = re.compile(r"(?P<path>.+)@(?P<pin>[0-9a-f]{8,64})")


def local_source(location: str, *, cache: Path) -> StreamedSource | TokenSource:
    """The corpus at a path, with or without a pin; location: as the user wrote it, `path:` included.

    cache: where digests of files are remembered. Raises DataError if nothing is there, nothing of a known kind or
    things of several kinds, or if the content is not the pinned one.
    """
    written = location.removeprefix("path:")
    match = _PIN.fullmatch(written)
    pin = match["pin"] if match and not Path(written).expanduser().exists() else None
    path = Path(match["path"] if match and pin else written).expanduser().absolute()
    source = _source(location, path, cache=cache)
    if pin and not source.digest.startswith(pin):
        raise DataError(
            f"the content of {path} is not the pinned one: its digest is {source.digest[: max(16, len(pin))]}...",
            value=pin,
            fix="Find the corpus that was meant, or pin this one.",
        )
    return source


def folder_name(path: Path) -> str:
    """What a corpus at a path is called in folders: the last part of the path, in safe letters."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", path.name.partition(".")[0]).strip("-.") or "corpus"


def _source(location: str, path: Path, *, cache: Path) -> StreamedSource | TokenSource:
    root, found = _files(path)
    kind = _kind(path, found)
    files = [file for file in found if _kind_of(file) == kind]
    name = folder_name(path)
    if kind == "Parquet":
        return parquet_folder(name, location, files, cache=cache)
    if kind == "token shards":
        return token_folder(name, location, files, cache=cache)
    if kind == "JSON lines":
        return json_lines.json_lines(name, location, root, files, cache=cache)
    if len(files) == 1:
        return plain_text.single_file(name, location, files[0], cache=cache)
    return plain_text.text_folder(name, location, root, files, cache=cache)


def _files(path: Path) -> tuple[Path, list[Path]]:
    """Folder and files of known kinds, in order of name; hidden ones are left out."""
    if path.is_file():
        return path.parent, [path]
    if not path.is_dir():
        raise DataError("there is no corpus at this path", value=str(path), fix="Give a file or a folder.")
    found = [
        file
        for file in path.rglob("*")
        if _kind_of(file) and file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    ]
    return path, sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _kind(path: Path, files: list[Path]) -> str:
    kinds = sorted({_kind_of(file) or "" for file in files})
    if kinds in ([], [""]):
        suffixes = ", ".join(suffix for group in KINDS.values() for suffix in group)
        raise DataError(f"{path} has no file of a known kind", fix=f"Known: {suffixes}.")
    # Descriptions lie beside data: a README does not make a folder of shards a folder of essays.
    if len(kinds) > 1:
        kinds = [kind for kind in kinds if kind != "text"]
    if len(kinds) > 1:
        raise DataError(f"{path} holds corpora of several kinds", value=kinds, fix="Name the folder of one.")
    return kinds[0]


def _kind_of(file: Path) -> str | None:
    name = file.name.lower()
    return next((kind for kind, suffixes in KINDS.items() if name.endswith(suffixes)), None)
