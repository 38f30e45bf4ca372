"""MuonAdamW and its variants, written without `torch.optim`, whose import costs a second."""

from foldover.lm.optim.adamw import AdamW
from foldover.lm.optim.groups import MuonAdamW, build_optimizer, clip_gradients
from foldover.lm.optim.muon import Muon

__all__ = ["AdamW", "Muon", "MuonAdamW", "build_optimizer", "clip_gradients"]
