"""Corpora by name: the embedded one, what lies on this machine, what the hub has.

sotu                                        the embedded corpus
path:/some/where[@DIGEST]                   see `foldover.data.local`
hub:OWNER/NAME[@REVISION][:SHARDS]          see `foldover.data.hub`
"""

from __future__ import annotations

from pathlib import Path

from foldover.core import DataError
from foldover.data.corpus import CorpusSource
from foldover.data.hub import hub_source
from foldover.data.local import local_source
from foldover.data.parts import StreamedSource
from foldover.data.places import cache_folder
from foldover.data.progress import Progress
from foldover.data.sotu import SOTU
from foldover.data.token_folder import TokenSource

CORPORA: tuple[CorpusSource, ...] = (SOTU,)

Source = CorpusSource | StreamedSource | TokenSource


def corpus_source(name: str, *, cache: Path | None = None, progress: Progress | None = None) -> Source:
    """The source of that name.

    cache: as in `prepare`: digests of files and downloads lie there; progress: of a download.
    Raises DataError with the known names if there is none, or for what lies there.
    """
    for source in CORPORA:
        if source.name == name:
            return source
    if name.startswith("path:"):
        return local_source(name, cache=cache_folder(cache))
    if name.startswith("hub:"):
        return hub_source(name, cache=cache_folder(cache), progress=progress)
    known = ", ".join(source.name for source in CORPORA)
    raise DataError(
        "there is no corpus of that name",
        value=name,
        fix=f"Known corpora: {known}. Others are named path:/some/where or hub:OWNER/NAME.",
    )
