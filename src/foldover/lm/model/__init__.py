"""The model: small parts, chosen once in `assemble`."""

from foldover.lm.model.assemble import build_model
from foldover.lm.model.gpt import CROSS_ENTROPY, Gpt
from foldover.lm.model.parameter import ROLES, Role, RoleParameter, initialize, role_parameters
from foldover.lm.model.residual import Block

__all__ = [
    "CROSS_ENTROPY",
    "ROLES",
    "Block",
    "Gpt",
    "Role",
    "RoleParameter",
    "build_model",
    "initialize",
    "role_parameters",
]
