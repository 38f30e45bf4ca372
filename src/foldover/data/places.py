"""Where foldover keeps what it prepared."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

CACHE_VARIABLE = "FOLDOVER_CACHE"


def cache_folder(cache: Path | None = None) -> Path:
    """Where prepared corpora lie: `cache`, else `$FOLDOVER_CACHE`, else the platform's cache folder."""
    named = cache or os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return user_cache_path("foldover", appauthor=False)
