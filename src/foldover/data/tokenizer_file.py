"""A tokenizer read back from the text that it writes."""

from __future__ import annotations

import json

from foldover.core import DataError
from foldover.data.encoding import Tokenizer
from foldover.data.folded import FoldedTokenizer
from foldover.data.piece_model import SentencePieceTokenizer
from foldover.data.ranks import RankTokenizer
from foldover.data.tokenizer import BytePairTokenizer


def read_tokenizer(text: str) -> Tokenizer:
    """The tokenizer that some `to_json` wrote. Raises DataError if the text is not one."""
    try:
        plain = json.loads(text)
        form = plain["format"]
        if form == FoldedTokenizer.FORMAT:
            return FoldedTokenizer(inner=read_tokenizer(str(plain["inner"])))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"a tokenizer file is damaged: {error!r}", fix="Prepare the corpus again.") from error
    for kind in (SentencePieceTokenizer, RankTokenizer):
        if form == kind.FORMAT:
            return kind.from_json(text)
    return BytePairTokenizer.from_json(text)
