"""A trained state to an artifact, and an artifact back to a model: what is stored of a GPT, and how it is calibrated.

The header of an artifact holds what evaluation needs besides the tensors: the levers, the constants, the seed of what
is drawn rather than learned, and digests of tokenizer and validation stream, so that no artifact is scored on others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from foldover.core import ArtifactError, LedgerError, Recipe, RunSpec, UserError, Values, bind, from_plain, to_plain
from foldover.data import PreparedData
from foldover.data.validation import check_scorable
from foldover.export.calibration import collect
from foldover.export.container import read_artifact
from foldover.export.levers import ExportConfig
from foldover.export.levers_calibration import CalibrationLevers
from foldover.export.restore import restore
from foldover.export.sampling import first_tokens, write_text
from foldover.export.tensors import Calibration, TensorInfo
from foldover.export.tensors import Role as Place
from foldover.lm.choose import leaves_for
from foldover.lm.device import Device
from foldover.lm.inputs import training_rows
from foldover.lm.levers import CONSTANTS, LEVERS, TrainConfig
from foldover.lm.model import Gpt, build_model
from foldover.lm.model.parameter import RoleParameter, role_parameters
from foldover.lm.resolve import resolve
from foldover.lm.token_traits import token_traits

FORMAT = 1
CHECKED = ("tokenizer", "validation")
TRAINING_ONLY = "auxiliary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an artifact is of. run_id: of the run that trained it; val_bpb: of its state before export."""

    run_id: str
    recipe: Values
    constants: Values
    seed: int
    digests: Values
    val_bpb: float


def header_of(identity: Identity, config: ExportConfig) -> Mapping[str, object]:
    """The header, plain values."""
    return {"format": FORMAT, "identity": to_plain(identity), "export": to_plain(config)}


def identity_in(header: Mapping[str, Any]) -> Identity:
    """What an opened artifact is of. Raises ArtifactError for a header that is not one of this trainer's."""
    try:
        if header["format"] != FORMAT:
            raise ArtifactError("the artifact's header has another format", value=header["format"])
        return from_plain(Identity, header["identity"])
    except (KeyError, TypeError, LedgerError) as error:
        raise ArtifactError(f"the artifact is of no model of this trainer: {error}") from None


def stored_parameters(model: Gpt) -> list[tuple[str, RoleParameter]]:
    """What an artifact holds: every parameter once, without heads that exist in training only."""
    return [(name, parameter) for name, parameter in role_parameters(model) if parameter.role != TRAINING_ONLY]


def weights_of(model: Gpt) -> dict[str, np.ndarray]:
    """float32 by name."""
    return {name: parameter.detach().float().cpu().numpy() for name, parameter in stored_parameters(model)}


def infos_of(model: Gpt) -> tuple[TensorInfo, ...]:
    """Each tensor's place in the model."""
    return tuple(
        TensorInfo(name=name, role=_place(name, parameter), layer=_layer(name))
        for name, parameter in stored_parameters(model)
    )


def _place(name: str, parameter: RoleParameter) -> Place:
    if parameter.ndim < 2 or min(parameter.shape) < 2:
        return "vector"
    if parameter.role in ("embedding", "head"):
        return "head" if parameter.role == "head" else "embedding"
    if parameter.role in ("value_embedding", "hash_embedding"):
        return "table"
    if parameter.role not in ("matrix", "output_matrix"):
        return "vector"
    owner = name.rpartition(".")[0].rpartition(".")[2]
    is_out = parameter.role == "output_matrix"
    if owner == "attention":
        return "attention_out" if is_out else "attention"
    if owner == "mlp":
        return "mlp_out" if is_out else "mlp"
    return "matrix"


def _layer(name: str) -> int | None:
    first, _, rest = name.partition(".")
    index = rest.partition(".")[0]
    return int(index) if first == "blocks" and index.isdecimal() else None


def calibrated(
    model: Gpt, spec: RunSpec, data: PreparedData, levers: CalibrationLevers, *, has_gradients: bool = False
) -> Calibration:
    """What the inputs of the model's matrices are like, on text of the training side or on its own.

    model: of plain leaves, whose products can be seen; never shown a token of the validation side. has_gradients:
    whether output gradients are taken too, which bit allocation can use.
    """
    device = model.embedding.device
    context = spec.recipe.values.integer("model.context")

    def batches() -> Sequence[Tensor]:
        if levers.text == "self":
            first = first_tokens(levers.rows * levers.batches, data.vocab_size, bos_id=data.bos_id, seed=spec.seed)
            written = write_text(
                model, first=first.to(device), length=context + 1, temperature=levers.text_temperature, seed=spec.seed
            )
            return torch.split(written, levers.rows)
        loader = training_rows(spec, data)
        return [torch.from_numpy(loader.take(levers.rows).astype(np.int64)).to(device) for _ in range(levers.batches)]

    texts = batches()

    def run() -> None:
        for rows in texts:
            with torch.set_grad_enabled(has_gradients):
                logits = model(rows[:, :-1])
                if has_gradients:
                    loss = functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
                    torch.autograd.backward(loss)
                    model.zero_grad(set_to_none=True)

    matrices = {name: parameter for name, parameter in stored_parameters(model) if _place(name, parameter) != "vector"}
    return collect(run, matrices)


def load_weights(model: Gpt, weights: Mapping[str, np.ndarray]) -> None:
    """Write restored tensors into a model of their levers. Raises ArtifactError where they are another model's."""
    own = dict(stored_parameters(model))
    if own.keys() != weights.keys() or any(tuple(own[n].shape) != weights[n].shape for n in own):
        odd = sorted(own.keys() ^ weights.keys()) or [n for n in own if tuple(own[n].shape) != weights[n].shape]
        raise ArtifactError("the artifact's tensors are not those of its levers", value=odd[:3])
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(torch.from_numpy(weights[name]))


def model_of(spec: RunSpec, data: PreparedData, device: Device, *, is_plain: bool = False) -> Gpt:
    """An untrained model of a recipe. is_plain: of leaves whose products calibration can see."""
    config = bind(TrainConfig, spec.recipe.values)
    traits: Callable[[], Any] = lambda: token_traits(data)  # noqa: E731
    if is_plain:
        return build_model(config, seed=spec.seed, device=device.device, traits=traits)
    return build_model(config, seed=spec.seed, device=device.device, traits=traits, leaves=leaves_for(device))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reloaded:
    """An artifact, read. spec: what data and rows it is measured on; weights: restored, float32 by name."""

    identity: Identity
    spec: RunSpec
    weights: Mapping[str, np.ndarray]


def reload(path: Path, *, like: RunSpec) -> Reloaded:
    """An artifact's weights and what it is of. like: a spec whose place in studies does not matter here.

    Raises ArtifactError where its levers and constants are not possible, or are of a model of another size: before
    that model is built.
    """
    opened = read_artifact(path)
    identity = identity_in(opened.header)
    recipe, constants = _possible(identity)
    weights = restore(opened.tensors)
    derived = resolve(recipe).derived
    expected = derived.integer("num_params") - derived.integer("num_params_auxiliary")
    if (found := sum(array.size for array in weights.values())) != expected:
        raise ArtifactError(
            f"the artifact's tensors are not those of its levers: they hold {found:,} numbers instead of {expected:,}"
        )
    spec = replace(like, recipe=recipe, constants=constants, seed=identity.seed)
    return Reloaded(identity=identity, spec=spec, weights=weights)


def _possible(identity: Identity) -> tuple[Recipe, Values]:
    """Levers and constants as they may be; levers that are newer than the artifact at their defaults."""
    try:
        recipe = Recipe(trainer="lm", values=LEVERS.complete(identity.recipe))
        resolve(recipe)
        return recipe, CONSTANTS.complete(identity.constants)
    except UserError as error:
        raise ArtifactError(f"the artifact is of no possible model: {error}") from None


def check_data(identity: Identity, data: PreparedData) -> None:
    """Raise ArtifactError if an artifact would be measured with another tokenizer or on another stream.

    Raises DataError where the validation side has fewer tokens than are to be scored.
    """
    for name in CHECKED:
        if identity.digests.get(name) != data.digests[name]:
            raise ArtifactError(
                f"the artifact was made with another {name}",
                value=str(identity.digests.get(name))[:16],
                fix=f"The data at hand has {str(data.digests[name])[:16]}: prepare the corpus that its constants name.",
            )
    constants = CONSTANTS.complete(identity.constants)
    context = LEVERS.complete(identity.recipe).integer("model.context")
    check_scorable(data, context=context, num_tokens=constants.integer("eval_tokens"))
