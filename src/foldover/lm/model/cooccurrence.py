"""Weights that begin with counts of neighbouring tokens: first-block queries and keys (parameter-golf PR 623), table.

With C the (V, V) matrix of log(1 + count of (token, the one before)) and R (V, d) the normed token table, columns
centred, the singular vectors of R' C R = U S V' give W_Q = S^(1/2) U' and W_K = S^(1/2) V', so that q k is large for
pairs that follow one another. Queries and keys are normed later, so only directions survive; both keep the Frobenius
norm that they were drawn with. [lab]: log, centring, and R from the table itself.

Legend: V vocabulary, d width, G key/value heads, hd head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foldover.lm.model.attention import Attention

OVERSAMPLED, POWER_ITERATIONS = 8, 6


@torch.no_grad()
def set_queries_and_keys(attention: Attention, table: Tensor, sample: Tensor) -> None:
    """Overwrite the drawn queries and keys. table: (V, d), as the first block sees tokens; sample: (N,) ids."""
    centred = table.double() - table.double().mean(dim=0)
    core = centred.T @ torch.sparse.mm(_log_counts(sample, len(table)), centred)  # (d, d)
    u, s, vt = torch.linalg.svd(core)
    root = s.sqrt().unsqueeze(1)
    kv_width = attention.key.shape[0]
    keys, queries = (root * vt)[:kv_width], (root * u.T)[:kv_width]
    heads = attention.num_heads // attention.kv_heads  # query heads that read one key head
    queries = queries.view(attention.kv_heads, attention.head_dim, -1).repeat_interleave(heads, dim=0).flatten(0, 1)
    for parameter, found in ((attention.query, queries), (attention.key, keys)):
        parameter.copy_(found * (parameter.double().norm() / found.norm()))


def _log_counts(sample: Tensor, vocab_size: int) -> Tensor:
    """Sparse (V, V): rows the token, columns the one before."""
    pairs, counts = torch.unique(sample[1:] * vocab_size + sample[:-1], return_counts=True)
    index = torch.stack((pairs // vocab_size, pairs % vocab_size))
    return torch.sparse_coo_tensor(
        index, counts.double().log1p(), (vocab_size, vocab_size), check_invariants=False
    ).coalesce()


@torch.no_grad()
def set_table(table: Tensor, sample: Tensor, *, generator: torch.Generator) -> None:
    """Overwrite the drawn token table (V, e) with U S^(1/2) of the log counts' e leading singular vectors.

    Of C + C', so that a token is near those that stand around the same ones; at the spread that was drawn. The
    vectors are found by powers of a random projection (Halko et al. 2011, algorithm 4.4). [lab]: the source says only
    that the table began with an SVD.
    """
    width = table.shape[1]
    counts = _log_counts(sample.cpu(), len(table))
    both = (counts + counts.T).coalesce()
    found = torch.randn(len(table), min(len(table), width + OVERSAMPLED), generator=generator, dtype=torch.float64)
    for _ in range(POWER_ITERATIONS):
        found = torch.linalg.qr(torch.sparse.mm(both, found)).Q
    values, vectors = torch.linalg.eigh(found.T @ torch.sparse.mm(both, found))
    order = values.abs().argsort(descending=True)[:width]
    began = (found @ vectors[:, order]) * values[order].abs().sqrt()
    table.copy_(began * (table.double().cpu().norm() / began.norm()))
