"""Text to tokens: corpora, tokenizers, prepared caches, rows. No torch.

`prepare()` gives a corpus as memory-mapped tokens; `open_rows` and `scored_rows` cut them for training and scoring.
"""

from foldover.data.accounting import Accounting, ByteTable
from foldover.data.blocks import BlockRows, StreamOrder
from foldover.data.cache import prepare, prepare_source
from foldover.data.casing import fold, unfold
from foldover.data.choice import TOKENIZERS, choose_tokenizer, load_tokenizer
from foldover.data.compare import Comparison, TokenizerFigures, compare_tokenizers
from foldover.data.contiguous import StreamRows
from foldover.data.corpus import Corpus, CorpusSource, Document, Side, num_bytes, text_digest
from foldover.data.encoding import Encoder, Tokenizer
from foldover.data.folded import FoldedTokenizer
from foldover.data.hub import HubClient, HuggingFaceClient, hub_source
from foldover.data.listing import PreparedFolder, list_prepared
from foldover.data.order import shuffled
from foldover.data.packing import LongDocuments, RowPacker, Units, cut_units, pack_rows
from foldover.data.parts import Part, StreamedSource
from foldover.data.piece_model import SentencePieceTokenizer, train_sentencepiece
from foldover.data.places import cache_folder
from foldover.data.prefetch import Prefetcher, Rows
from foldover.data.prepared import Facts, PreparedData
from foldover.data.progress import Progress
from foldover.data.ranks import RankTokenizer
from foldover.data.references import witten_bell_bits
from foldover.data.rows import Loader, TrainRows, open_rows, train_rows
from foldover.data.shard import read_shard, write_shard
from foldover.data.shards import TokenShards
from foldover.data.sotu import load_sotu
from foldover.data.sources import CORPORA, Source, corpus_source
from foldover.data.state import RowsState
from foldover.data.stream import TokenStream, check_bytes, encode_documents
from foldover.data.survey import ShardSurvey, SideSurvey, Survey, survey
from foldover.data.token_folder import TokenSource
from foldover.data.tokenizer import PATTERN, SPECIALS, BytePairTokenizer, train_tokenizer
from foldover.data.tokenizer_file import read_tokenizer
from foldover.data.validation import (
    ScoredRows,
    ValidationOrder,
    check_scorable,
    scored_rows,
    validation_digest,
    validation_rows,
)

__all__ = [
    "CORPORA",
    "PATTERN",
    "SPECIALS",
    "TOKENIZERS",
    "Accounting",
    "BlockRows",
    "BytePairTokenizer",
    "ByteTable",
    "Comparison",
    "Corpus",
    "CorpusSource",
    "Document",
    "Encoder",
    "Facts",
    "FoldedTokenizer",
    "HubClient",
    "HuggingFaceClient",
    "Loader",
    "LongDocuments",
    "Part",
    "Prefetcher",
    "PreparedData",
    "PreparedFolder",
    "Progress",
    "RankTokenizer",
    "RowPacker",
    "Rows",
    "RowsState",
    "ScoredRows",
    "SentencePieceTokenizer",
    "ShardSurvey",
    "Side",
    "SideSurvey",
    "Source",
    "StreamOrder",
    "StreamRows",
    "StreamedSource",
    "Survey",
    "TokenShards",
    "TokenSource",
    "TokenStream",
    "Tokenizer",
    "TokenizerFigures",
    "TrainRows",
    "Units",
    "ValidationOrder",
    "cache_folder",
    "check_bytes",
    "check_scorable",
    "choose_tokenizer",
    "compare_tokenizers",
    "corpus_source",
    "cut_units",
    "encode_documents",
    "fold",
    "hub_source",
    "list_prepared",
    "load_sotu",
    "load_tokenizer",
    "num_bytes",
    "open_rows",
    "pack_rows",
    "prepare",
    "prepare_source",
    "read_shard",
    "read_tokenizer",
    "scored_rows",
    "shuffled",
    "survey",
    "text_digest",
    "train_rows",
    "train_sentencepiece",
    "train_tokenizer",
    "unfold",
    "validation_digest",
    "validation_rows",
    "witten_bell_bits",
    "write_shard",
]
