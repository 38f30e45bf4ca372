"""The one place where levers choose parts: a recipe in, a model out (`ends` does embedding, head and terms)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from foldover.lm.levers import TrainConfig
from foldover.lm.model import mlp, outputs, values
from foldover.lm.model import residual as res
from foldover.lm.model.attention import Attention, AttentionSite, FixedGain, LearnedGain
from foldover.lm.model.cooccurrence import set_queries_and_keys, set_table
from foldover.lm.model.documents import FindDocuments
from foldover.lm.model.ends import (
    Traits,
    build_head,
    build_inputs,
    build_table,
    build_terms,
    build_token,
    needed_traits,
    past_of,
)
from foldover.lm.model.gpt import Gpt, Parts, Plan, blended_lanes, mean_lane, mlp_lane, plain_close
from foldover.lm.model.kernels import Grouped, OverDocuments, OverRow
from foldover.lm.model.leaves import PLAIN, Leaves
from foldover.lm.model.norm import rms_norm
from foldover.lm.model.parameter import InitRules, RoleParameter, initialize
from foldover.lm.model.position import Rotary
from foldover.lm.plan import BlockSpec, LayerSpec
from foldover.lm.shape import Shape, shape_of
from foldover.lm.streams import stream
from foldover.lm.token_traits import TokenTraits

SHARED_ROLES = ("matrix", "output_matrix")


def build_model(
    config: TrainConfig,
    *,
    seed: int,
    device: torch.device,
    traits: Callable[[], TokenTraits] | None = None,
    leaves: Leaves = PLAIN,
) -> Gpt:
    """The initialised model of a recipe that `resolve` has checked, fp32, on the device.

    traits: asked for only where a lever needs them; leaves: what the machine chooses (`choose.leaves_for`). Raises
    TrainerError where traits are needed and there are none.
    """
    shape = shape_of(config)
    found = needed_traits(config, traits)
    with device:
        model = _assemble(config, shape, found, leaves)
    initialize(model, InitRules(width=shape.width, levers=config.init), seed=seed)  # on the CPU: equal on every device
    if config.init.table == "svd" and found is not None:
        set_table(model.embedding, torch.from_numpy(found.sample), generator=stream(seed, "init", "table"))
    if config.init.cooccurrence_qk and found is not None:
        seen = model.token(torch.arange(shape.vocab_size, device=device))
        sample = torch.from_numpy(found.sample).to(device)
        set_queries_and_keys(model.blocks[0].attention, rms_norm(seen).detach(), sample)  # type: ignore[arg-type]
    return model


def _assemble(config: TrainConfig, shape: Shape, traits: TokenTraits | None, leaves: Leaves) -> Gpt:
    table, up = build_table(config, shape)
    blocks = [_block(config, shape, spec, leaves) for spec in shape.blocks]
    for spec, block in zip(shape.blocks, blocks, strict=True):
        if spec.source != spec.index:
            _share_matrices(block, blocks[spec.source])
    known = Traits(config, traits)
    held = _Held(config, shape, known, leaves)
    plans = []
    for phase in shape.phases:
        visits = tuple(held.visit(layer, blocks[layer.block]) for layer in phase.layers)
        plans.append((phase.begins_at, visits))
    parts = Parts(
        embedding=table,
        token=build_token(table, up),
        inputs=build_inputs(config, shape, known, leaves),
        blocks=blocks,
        held=held.modules,
        close=held.close,
        norm=leaves.norm,
        head=build_head(config, shape, table=table, up=up, traits=known, leaves=leaves),
        terms=build_terms(config, shape, known, leaves),
    )
    movable = [p for module in (*blocks, *held.modules.values()) for p in module.parameters()]
    return Gpt(
        parts,
        [Plan(begins_at=begins_at, visits=visits, idle=_idle(movable, visits)) for begins_at, visits in plans],
    )


def _block(config: TrainConfig, shape: Shape, spec: BlockSpec, leaves: Leaves) -> res.Block:
    embedded: nn.Module | None = None
    if spec.has_value_embedding:
        embedded = values.ValueEmbedding(
            vocab_size=shape.vocab_size,
            kv_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            gate_channels=shape.value_gate_channels,
            add_rows=leaves.add_rows,
        )
    attention = Attention(width=shape.width, num_heads=shape.num_heads, kv_heads=shape.kv_heads, values=embedded)
    mlps = [_mlp(config, shape, leaves) for _ in range(spec.num_mlps)]
    return res.Block(attention, mlps, dict(_block_parts(config, shape, spec, leaves)))


def _mlp(config: TrainConfig, shape: Shape, leaves: Leaves) -> nn.Module:
    if config.mlp.activation == "swiglu":
        return mlp.SwiGlu(width=shape.width, hidden=shape.mlp_width)
    activations: dict[str, mlp.Activation] = {
        "relu2": leaves.relu_squared,
        "leaky_relu2": mlp.leaky_relu_squared(config.mlp.leaky_slope),
        "relu": nn.functional.relu,
    }
    activation = activations[config.mlp.activation]
    if config.mlp.activation_max:
        activation = mlp.bounded(activation, config.mlp.activation_max)
    return mlp.Mlp(width=shape.width, hidden=shape.mlp_width, activation=activation)


def _block_parts(config: TrainConfig, shape: Shape, spec: BlockSpec, leaves: Leaves) -> Iterator[tuple[str, nn.Module]]:
    """Optional parts that a block owns, by the names under which `_Held.visit` finds them."""
    attention, residual, d = config.attention, config.residual, shape.width
    if residual.x0_mix == "scalar":
        yield "mix", res.ScalarMix(residual.x0_mix_init, leaves.mix)
    if residual.x0_mix == "channel":
        yield "mix", res.ChannelMix(width=d, x0_share=residual.x0_mix_init)
    if residual.branch_scales:
        yield "attention_scale", res.ChannelScale(d)
        yield "mlp_scale", res.ChannelScale(d)
    if attention.qk_gain_learned:
        yield "gain", LearnedGain(num_heads=shape.num_heads, **_gains(config))
    elif attention.qk_gain != 1.0 or attention.qk_gain_spread:
        yield "gain", FixedGain(num_heads=shape.num_heads, **_gains(config))
    if attention.x0_to_value:
        yield "x0", values.FirstStreamValue(width=d, kv_width=shape.kv_width, share=attention.x0_to_value)
    if spec.has_value_residual:
        forms = {
            "sigmoid": values.SigmoidResidual,
            "factors": values.FactorResidual,
            "cascade": values.CascadeResidual,
        }
        yield "value_residual", forms[attention.value_residual](attention.value_residual_init)
    if spec.has_xsa and attention.xsa_form == "learned":
        yield "xsa", outputs.LearnedExclusive()
    gates: dict[str, Callable[[], nn.Module]] = {
        "doubled": lambda: outputs.DoubledGate(num_heads=shape.num_heads, channels=shape.gate_channels),
        "dense": lambda: outputs.DenseGate(num_heads=shape.num_heads, width=d),
        "sparse": lambda: outputs.SparseGate(
            num_heads=shape.num_heads, channels=shape.gate_channels, scale=attention.output_gate_scale
        ),
    }
    if attention.output_gate != "none":
        yield "gate", gates[attention.output_gate]()
    if spec.has_lanes:
        yield "lanes", res.LaneMix(residual.lane_init, residual.lane_asymmetry)


def _gains(config: TrainConfig) -> dict[str, float]:
    gain, spread = config.attention.qk_gain, config.attention.qk_gain_spread
    return {"low": gain - spread, "high": gain + spread}


class _Held:
    """Parts that belong to positions rather than blocks; each is made once and shared by all visits that use it."""

    def __init__(self, config: TrainConfig, shape: Shape, traits: Traits, leaves: Leaves) -> None:
        self._config, self._shape, self._leaves = config, shape, leaves
        self._is_within = config.attention.within_documents
        self._past = past_of(config, traits)
        self.modules: dict[str, nn.Module] = {}
        self._places: dict[float, nn.Module] = {}
        self.close: Callable[..., torch.Tensor] = plain_close
        residual, recurrence, d = config.residual, config.recurrence, shape.width
        if config.attention.value_embedding == "shared":
            dim = config.attention.value_embedding_dim
            table = values.SharedTable(vocab_size=shape.vocab_size, dim=dim, kv_width=shape.kv_width)
            self.modules["value_table"] = table
            for spec in shape.blocks:
                if spec.has_shared_values:
                    self.modules[f"value_share_{spec.index}"] = values.SharedValueEmbedding(table)
        join = res.GatedSkip if residual.skips == "gated" else res.AddSkip
        for i in range(shape.num_skips):
            self.modules[f"skip_{i}"] = join(width=d, weight=residual.skip_init)
        for number in range(shape.num_passes if recurrence.loops else 0):
            if recurrence.loop_norm and number:
                self.modules[f"pass_norm_{number}"] = res.PassNorm()
            if recurrence.loop_film and number:
                self.modules[f"pass_film_{number}"] = res.PassFilm(d)
            if recurrence.loop_embedding:
                self.modules[f"pass_vector_{number}"] = res.PassVector(d)
        if any(layer.rule == "lanes" for layer in shape.layers):
            self.close = self._lane_close()

    def _lane_close(self) -> Callable[..., torch.Tensor]:
        output = self._config.residual.lane_output
        if output == "learned":
            self.modules["lane_blend"] = res.LaneBlend()
            return blended_lanes(self.modules["lane_blend"])
        return {"mean": mean_lane, "attn": plain_close, "mlp": mlp_lane}[output]

    def visit(self, layer: LayerSpec, block: res.Block) -> res.Visit:
        """One executed position."""
        lanes = {"together": res.two_lanes, "in_turn": res.two_lanes_in_turn}[self._config.residual.lane_order]
        rules = {"sequential": res.sequential, "parallel": res.parallel, "lanes": lanes}
        part, norm = dict(block.parts.items()), self._leaves.norm
        return res.Visit(
            rule=rules[layer.rule],
            norm=norm if layer.norm_scale == 1.0 else res.ScaledNorm(layer.norm_scale, norm),
            mix=part.get("mix", res.without_x0),
            attention=block.attention,
            site=AttentionSite(
                place=self._place(layer.rope_base),
                gain=part.get("gain", res.unchanged),
                kernel=(OverDocuments if self._is_within else OverRow)(kernel=self._kernel(layer.window)),
                values=tuple(self._value_stages(layer, block, part)),
                outputs=tuple(self._output_stages(layer, part)),
            ),
            attention_scale=part.get("attention_scale", res.unchanged),
            mlp=block.more_mlps[layer.mlp_copy - 1] if layer.mlp_copy else block.mlp,
            mlp_scale=part.get("mlp_scale", res.unchanged),
            lanes=part.get("lanes") if layer.rule == "lanes" else None,  # type: ignore[arg-type]
            before=tuple(self._steps_before(layer)),
            after=(res.push_skip,) if layer.pushes else (),
        )

    def _place(self, base: float) -> nn.Module:
        attention, shape = self._config.attention, self._shape
        if base not in self._places:
            rotary = Rotary(
                context=shape.context,
                head_dim=shape.head_dim,
                base=base,
                rotated=attention.rope_dims,
                ntk_context=attention.ntk_context,
                is_yarn=attention.ntk_context > 0 and attention.long_rows == "yarn",
            )
            is_after = attention.qk_norm == "after_rotary"
            form = self._leaves.rotate_then_norm if is_after else self._leaves.norm_then_rotate
            self._places[base] = self.modules[f"place_{len(self._places)}"] = form(rotary)
        return self._places[base]

    def _kernel(self, window: int) -> nn.Module:
        shape = self._shape
        name = f"kernel_{window}"
        if name not in self.modules:
            if self._is_within:
                kernel = self._leaves.documents(shape.context, window)
            elif window >= shape.context - 1:
                kernel = self._leaves.full()
            else:
                kernel = self._leaves.windowed(shape.context, window)
            groups = shape.num_heads // shape.kv_heads
            self.modules[name] = Grouped(kernel, groups) if groups > 1 else kernel
        return self.modules[name]

    def _value_stages(
        self, layer: LayerSpec, block: res.Block, part: dict[str, nn.Module]
    ) -> Iterator[values.ValueStage]:
        form = self._config.attention.value_residual
        if layer.has_value_embedding:
            yield block.attention.values
        if layer.has_shared_values:
            yield self.modules[f"value_share_{layer.block}"]
        if "x0" in part:
            yield part["x0"]
        if form != "none" and layer.position > 0:
            yield part["value_residual"]
        if form in ("sigmoid", "factors") and layer.position == 0:
            yield values.remember_first
        if form == "cascade":
            yield values.remember_last

    def _output_stages(self, layer: LayerSpec, part: dict[str, nn.Module]) -> Iterator[outputs.OutputStage]:
        if layer.has_xsa:
            yield part.get("xsa", outputs.exclusive)
        if "gate" in part:
            yield part["gate"]

    def _steps_before(self, layer: LayerSpec) -> Iterator[res.Step]:
        if self._is_within and layer.position == 0:
            yield FindDocuments(past=self._past)
        if layer.begins_pass is not None:
            for kind in ("norm", "film", "vector"):
                name = f"pass_{kind}_{layer.begins_pass}"
                if name in self.modules:
                    yield self.modules[name]
        if layer.enters_lanes:
            yield res.open_lanes
        if layer.pops is not None:
            norm = self._config.residual.skip_norm
            yield res.PopSkip(
                join=self.modules[f"skip_{layer.pops}"],
                ahead=rms_norm if norm == "before" else res.unchanged,
                behind=rms_norm if norm == "after" else res.unchanged,
            )


def _share_matrices(block: res.Block, source: res.Block) -> None:
    """The block's own attention and MLP matrices become the source's; its other parameters stay its own."""
    for mine, other in ((block.attention, source.attention), (block.mlp, source.mlp)):
        for name, parameter in other.named_parameters(recurse=False):
            if isinstance(parameter, RoleParameter) and parameter.role in SHARED_ROLES:
                setattr(mine, name, parameter)


def _idle(movable: list[nn.Parameter], visits: tuple[res.Visit, ...]) -> tuple[nn.Parameter, ...]:
    """Those of the parameters that no visit uses."""
    used: set[nn.Parameter] = set()
    for visit in visits:
        for part in _parts_of(visit):
            if isinstance(part, nn.Module):
                used.update(part.parameters())
    return tuple(parameter for parameter in movable if parameter not in used)


def _parts_of(visit: res.Visit) -> Iterator[object]:
    yield from (visit.norm, visit.mix, visit.attention, visit.attention_scale, visit.mlp, visit.mlp_scale, visit.lanes)
    yield from (visit.site.place, visit.site.gain, visit.site.kernel, *visit.site.values, *visit.site.outputs)
    for step in visit.before:
        yield step.join if isinstance(step, res.PopSkip) else step
