"""Where levers choose what enters the blocks and what leaves them: part of `assemble`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from foldover.core import TrainerError
from foldover.lm.levers import TrainConfig
from foldover.lm.model import auxiliary, copy_head, embedding, hashing, head
from foldover.lm.model.documents import OF_ROW, OfDocument, Past
from foldover.lm.model.leaves import Leaves
from foldover.lm.model.parameter import new_parameter
from foldover.lm.shape import COPY_DIM, JEPA_DIM, NUM_TYPES, TYPE_DIM, Shape
from foldover.lm.token_traits import TokenTraits, needs_traits

OF_BYTES = 0  # the order of a hash that counts bytes, not tokens


def needed_traits(config: TrainConfig, traits: Callable[[], TokenTraits] | None) -> TokenTraits | None:
    """The traits, where a lever of the recipe needs them."""
    if not needs_traits(config):
        return None
    if traits is None:
        raise TrainerError("this recipe needs to know its tokens", fix="Give `traits` to `build_model`.")
    return traits()


class Traits:
    """The traits as tensors on the current device; only for recipes that need them."""

    def __init__(self, config: TrainConfig, traits: TokenTraits | None) -> None:
        if traits is not None and len(traits.kinds) != config.tokenizer.vocab_size:
            raise TrainerError("traits of another vocabulary", value=(len(traits.kinds), config.tokenizer.vocab_size))
        self._traits = traits

    @property
    def _known(self) -> TokenTraits:
        assert self._traits is not None, "a lever needs traits that `needs_traits` does not know of"
        return self._traits

    def word_starts(self) -> Tensor:
        """(V,) bool."""
        return torch.tensor(self._known.word_starts)

    def kinds(self) -> Tensor:
        """(V,) int64."""
        return torch.tensor(self._known.kinds)

    def byte_tails(self) -> tuple[Tensor, Tensor]:
        """(V,) int64 each: `byte_codes` and `byte_counts`."""
        return torch.tensor(self._known.byte_codes), torch.tensor(self._known.byte_counts)

    def log_frequency(self) -> Tensor:
        """(V,) fp32, natural log of (count + 1) / (total + V): finite for tokens that never came."""
        counts = self._known.counts.astype(np.float64) + 1.0
        return torch.tensor(np.log(counts / counts.sum()), dtype=torch.float32)

    @property
    def bos_id(self) -> int:
        """The id that starts every document."""
        return self._known.bos_id

    def border_id(self) -> int:
        """The same, where all depends on it. Raises TrainerError if the training text has none."""
        bos_id = self._known.bos_id
        if not self._known.counts[bos_id]:
            raise TrainerError(
                "`attention.within_documents`: nothing says where documents begin, for the training text has no BOS",
                value=bos_id,
                fix="Prepare the tokens with a BOS before each document, or leave the lever off.",
            )
        return bos_id


def past_of(config: TrainConfig, traits: Traits) -> Past:
    """What a position may know of those before it."""
    return OfDocument(bos_id=traits.border_id()) if config.attention.within_documents else OF_ROW


def build_table(config: TrainConfig, shape: Shape) -> tuple[nn.Parameter, nn.Parameter | None]:
    """The token table (V, e), and the way up (d, e) where it is narrower than the stream."""
    table = new_parameter("embedding", shape.vocab_size, shape.embedding_width)
    up = new_parameter("matrix", shape.width, shape.embedding_width) if config.embedding.factor_dim else None
    return table, up


def build_token(table: nn.Parameter, up: nn.Parameter | None) -> nn.Module:
    """Ids to (B, T, d), before the first norm."""
    return embedding.TokenTable(table) if up is None else embedding.FactorizedTable(table, up)


def build_inputs(config: TrainConfig, shape: Shape, traits: Traits, leaves: Leaves) -> list[nn.Module]:
    """The stages between the token table and the first block. A factorised table is normed before it is projected."""
    levers = config.embedding
    ahead: list[nn.Module] = []
    behind: list[nn.Module] = []
    if levers.bigram_buckets:
        (ahead if levers.bigram_place == "before_norm" else behind).extend(_hash_embeddings(config, shape, traits))
    if levers.token_type:
        kinds = traits.kinds()
        ahead.append(embedding.TokenType(types=kinds, num_types=NUM_TYPES, dim=TYPE_DIM, width=shape.width))
    if levers.smear == "gate":
        ahead.append(embedding.GateSmear(channels=shape.gate_channels, bos_id=traits.bos_id))
    if levers.smear == "channel":
        past = past_of(config, traits)
        behind.append(embedding.ChannelSmear(width=shape.width, share=levers.smear_share, past=past))
    norm = [] if levers.factor_dim else [embedding.Norm(leaves.norm)]
    cast = [] if leaves.dtype is torch.float32 else [embedding.Cast(leaves.dtype)]
    return [*ahead, *norm, *behind, *cast]


def _hash_embeddings(config: TrainConfig, shape: Shape, traits: Traits) -> Iterator[nn.Module]:
    levers = config.embedding
    tables = {
        "bigram": (("sum", (2,)),),
        "trigram": (("sum", (2, 3)),),
        "separate_trigram": (("sum", (2,)), ("sum", (3,))),
        "engram": (("mean", (1, 2, 3, 4, 5)),),
        "engram_slices": (("slices", (1, 2, 3)),),
        "byte_window": (("sum", (OF_BYTES,)),),
    }
    for join, orders in tables[levers.bigram_orders]:
        table = embedding.HashEmbedding(
            buckets=levers.bigram_buckets,
            dim=levers.bigram_dim,
            width=shape.width,
            scale=levers.bigram_scale,
            hashes=[[_hash(config, order, i, traits) for i in range(levers.bigram_heads)] for order in orders],
            join=join,
        )
        if levers.bigram_gate:
            table.factors.append(embedding.HashGate(shape.width))
        if levers.word_start_boost:
            table.factors.append(embedding.WordStartBoost(traits.word_starts()))
        yield table


def _hash(config: TrainConfig, order: int, i: int, traits: Traits) -> Callable[[Tensor], Tensor]:
    levers = config.embedding
    forms: dict[str, Callable[[], hashing.Combine]] = {
        "xor": lambda: hashing.xor_of(i),
        "linear31": lambda: hashing.linear_of(31, i),
        "linear92821": lambda: hashing.linear_of(92821, i),
        "exact": lambda: hashing.linear_of(config.tokenizer.vocab_size, 0),
    }
    combine = forms[levers.bigram_hash]()
    word_starts = traits.word_starts() if levers.bigram_split else None
    past, buckets = past_of(config, traits), levers.bigram_buckets
    if order == OF_BYTES:
        codes, counts = traits.byte_tails()
        return hashing.ByteWindowHash(
            buckets=buckets, combine=combine, codes=codes, counts=counts, word_starts=word_starts, past=past
        )
    return hashing.Hash(order=order, buckets=buckets, combine=combine, word_starts=word_starts, past=past)


def build_head(
    config: TrainConfig,
    shape: Shape,
    *,
    table: nn.Parameter,
    up: nn.Parameter | None,
    traits: Traits,
    leaves: Leaves,
) -> nn.Module:
    """The head, with the token table as its weight where it is tied."""
    levers, past = config.head, past_of(config, traits)
    weight = table if levers.tied else new_parameter("head", shape.vocab_size, shape.embedding_width)
    down: nn.Module = head.Whole()
    if up is not None:
        is_transposed = config.embedding.factor_form == "transposed"
        own = up if is_transposed else new_parameter("matrix", shape.embedding_width, shape.width)
        down = head.Down(own, is_transposed=is_transposed)
    if levers.low_rank:
        down = nn.Sequential(head.LowRank(width=shape.width, rank=levers.low_rank), down)
    stages: list[nn.Module] = []
    if levers.output_bias:
        start = traits.log_frequency() if config.init.output_bias == "log_unigram" else None
        stages.append(head.OutputBias(shape.vocab_size, start))
    if levers.unigram_bias:
        stages.append(head.UnigramBias(traits.log_frequency()))
    if levers.context_bias:
        stages.append(head.ContextBias(shape.vocab_size, past))
    squash = head.polynomial_squash if config.model.softcap_form == "polynomial" else torch.tanh
    cap = config.model.softcap
    plain = head.SoftcapHead(weight, cap=cap, down=down, stages=stages, squash=squash, leaves=leaves)
    if levers.copy == "none":
        return plain
    source: nn.Module = copy_head.FrequencySource(vocab_size=shape.vocab_size, past=past)
    if levers.copy == "attention":
        source = copy_head.AttentionSource(width=shape.width, dim=COPY_DIM, vocab_size=shape.vocab_size, past=past)
    return copy_head.CopyHead(plain, source, width=shape.width, bias=levers.copy_bias)


def build_terms(config: TrainConfig, shape: Shape, traits: Traits, leaves: Leaves) -> dict[str, nn.Module]:
    """Weighted losses beside the cross-entropy, by name."""
    levers, terms, past = config.head, dict[str, nn.Module](), past_of(config, traits)
    if levers.mtp_heads:
        heads = auxiliary.NextButOne(
            num_heads=levers.mtp_heads,
            vocab_size=shape.vocab_size,
            width=shape.width,
            cap=config.model.softcap,
            leaves=leaves,
            pairs=auxiliary.PairsWithin(past=past) if past is not OF_ROW else auxiliary.every_pair,
        )
        terms["mtp"] = auxiliary.Term(heads, levers.mtp_weight)
    if levers.jepa_weight:
        terms["jepa"] = auxiliary.Term(auxiliary.CodePredictor(width=shape.width, dim=JEPA_DIM), levers.jepa_weight)
    if levers.boundary_weight:
        predictor = auxiliary.WordBoundary(width=shape.width, word_starts=traits.word_starts())
        terms["word_boundary"] = auxiliary.Term(predictor, levers.boundary_weight)
    return terms
