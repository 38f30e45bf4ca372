"""Corpora from the Hugging Face hub, in the layout of karpathy/climbmix-400b-shuffle.

    hub:OWNER/NAME                      the last shard (validation) and the first 10 (training) of revision main
    hub:OWNER/NAME@REVISION:SHARDS      of another revision, with so many training shards

What was downloaded lies in CACHE/hub/OWNER--NAME/REVISION/ with a `hub.json` that says what the hub promised: commit,
size and sha256 of each file. Nothing is asked of the network while these files are all there, so a run never
waits for it; `main` is therefore what it was when it was first fetched, and `hub.json` and the digest say which.
"""

from __future__ import annotations

import fnmatch
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from filelock import FileLock

from foldover.core import DataError, LedgerError, OutsideError, from_json, to_json
from foldover.data.extras import missing
from foldover.data.fingerprint import file_digest
from foldover.data.local import folder_name
from foldover.data.parquet import parquet_folder
from foldover.data.parts import StreamedSource
from foldover.data.progress import Progress
from foldover.rundir import write_atomic

DEFAULT_SHARDS = 10
PATTERN = "*.parquet"
TRIES = 5
MANIFEST = "hub.json"

_T = TypeVar("_T")
_NAME = re.compile(
    r"hub:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(:(?P<shards>[1-9][0-9]*))?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file as the hub promises it. sha256: hex, None for files that the hub keeps in git itself."""

    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a repository at one commit."""

    repository: str
    commit: str
    files: tuple[RemoteFile, ...]


class HubClient(Protocol):
    """The network. Both may raise OSError for what may go well next time, DataError for what will not."""

    def listing(self, repository: str, revision: str) -> Listing:
        """The files of a dataset at a revision."""

    def download(self, repository: str, commit: str, name: str, folder: Path) -> None:
        """Bring a file to folder / name, going on with what an interrupted call left there."""


def hub_source(
    name: str,
    *,
    cache: Path,
    progress: Progress | None = None,
    client: HubClient | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> StreamedSource:
    """The corpus, downloaded first as far as it is not there; a killed download goes on.

    client: default the hub's own; wait: between tries, in seconds. Raises DataError for a malformed name, a dataset
    of another layout or with too few shards; OutsideError if the network fails or a file is not what the hub promised.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise DataError("this names no dataset of the hub", value=name, fix="Write hub:OWNER/NAME or hub:OWNER/NAME:8.")
    revision, count = match["revision"] or "main", int(match["shards"] or DEFAULT_SHARDS)
    folder = cache / "hub" / match["repository"].replace("/", "--") / revision.replace("/", "--")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        wanted = _wanted(_read_manifest(folder), count)
        if wanted is None or not all(_is_there(folder, file, cache) for file in wanted):
            fetching = _Fetching(
                client=client or HuggingFaceClient(), wait=wait, progress=progress or _no_progress, cache=cache
            )
            wanted = fetching.fetch(match["repository"], revision, count, folder)
    return parquet_folder(folder_name(Path(match["repository"])), name, [folder / f.name for f in wanted], cache=cache)


class HuggingFaceClient:
    """`huggingface_hub`, which honours HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE.

    endpoint: another server than the hub's.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        try:
            import huggingface_hub  # late: an optional extra
        except ModuleNotFoundError as error:
            raise missing(error, "hub", "Downloading from the hub") from error
        self._library = huggingface_hub
        self._endpoint = endpoint

    def listing(self, repository: str, revision: str) -> Listing:
        """The files of a dataset at a revision."""
        from huggingface_hub import errors
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the transport, no OSError

        try:
            found = self._library.HfApi(endpoint=self._endpoint).dataset_info(
                repository, revision=revision, files_metadata=True
            )
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            raise DataError(
                "the hub has no such dataset or revision, or it is private",
                value=f"{repository}@{revision}",
                fix="Correct the name, or set HF_TOKEN.",
            ) from error
        except HTTPError as error:
            raise OSError(str(error)) from error
        files = tuple(
            RemoteFile(name=file.rfilename, size=int(file.size or 0), sha256=file.lfs.sha256 if file.lfs else None)
            for file in found.siblings or ()
        )
        return Listing(repository=repository, commit=str(found.sha), files=files)

    def download(self, repository: str, commit: str, name: str, folder: Path) -> None:
        """Bring a file to folder / name; the library resumes by byte ranges."""
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

        try:
            self._library.hf_hub_download(
                repository, name, repo_type="dataset", revision=commit, local_dir=folder, endpoint=self._endpoint
            )
        except HTTPError as error:
            raise OSError(str(error)) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetching:
    client: HubClient
    wait: Callable[[float], None]
    progress: Progress
    cache: Path

    def fetch(self, repository: str, revision: str, count: int, folder: Path) -> tuple[RemoteFile, ...]:
        """List, bring what is lacking, check it; gives the files in order."""
        self.progress("asking the hub", 0.0)
        # Once fetched, a revision stays at its commit: shards of two commits are never mixed.
        held = _read_manifest(folder)
        listing = self._retry(lambda: self.client.listing(repository, held.commit if held else revision))
        write_atomic(folder / MANIFEST, to_json(listing, indent=1) + "\n")
        wanted = _wanted(listing, count)
        if wanted is None:
            shards = sum(fnmatch.fnmatch(file.name, PATTERN) for file in listing.files)
            raise DataError(
                f"{repository} has {shards} Parquet shards at its top; {count} and the last one are needed",
                fix="Ask for fewer, or download it by other means and name it path:/some/where.",
            )
        lacking = [file for file in wanted if not _is_there(folder, file, self.cache)]
        _check_space(folder, lacking)
        total, done = sum(file.size for file in lacking), 0
        # The validation shard first: without it the others are of no use.
        for file in sorted(lacking, key=lambda file: (file != wanted[-1], file.name)):
            self.progress(f"downloading {file.name}", done / max(1, total))
            self._retry(lambda file=file: self._bring(listing, file, folder))  # type: ignore[misc]
            done += file.size
        return wanted

    def _bring(self, listing: Listing, file: RemoteFile, folder: Path) -> None:
        self.client.download(listing.repository, listing.commit, file.name, folder)
        if not _is_there(folder, file, self.cache):
            path = folder / file.name
            found = path.stat().st_size
            path.unlink()
            raise OSError(f"{file.name} came as {found:,} bytes that are not those of the hub ({file.size:,})")

    def _retry(self, action: Callable[[], _T]) -> _T:
        for attempt in range(TRIES):
            try:
                return action()
            except OSError as error:
                last = error
                if attempt < TRIES - 1:
                    self.wait(2.0**attempt)
        raise OutsideError(
            f"the hub cannot be reached or its answer is damaged ({TRIES} tries): {last}",
            fix="The same command goes on with what is there already.",
        ) from last


def _wanted(listing: Listing | None, count: int) -> tuple[RemoteFile, ...] | None:
    """The first `count` shards and the last one, in order of name; None if there are not so many."""
    shards = sorted(
        (file for file in (listing.files if listing else ()) if fnmatch.fnmatch(file.name, PATTERN)),
        key=lambda file: file.name,
    )
    return (*shards[:count], shards[-1]) if len(shards) > count else None


def _read_manifest(folder: Path) -> Listing | None:
    try:
        return from_json(Listing, (folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, LedgerError):
        return None


def _is_there(folder: Path, file: RemoteFile, cache: Path) -> bool:
    path = folder / file.name
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    return file.sha256 is None or file_digest(path, cache=cache) == file.sha256


def _check_space(folder: Path, files: Sequence[RemoteFile]) -> None:
    needed, free = sum(file.size for file in files), shutil.disk_usage(folder).free
    if needed > free:
        raise OutsideError(
            f"the download needs {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB",
            fix="Ask for fewer shards, or set FOLDOVER_CACHE to another disk.",
        )


def _no_progress(phase: str, fraction: float) -> None:
    pass
