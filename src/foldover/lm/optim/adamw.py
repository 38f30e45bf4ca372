"""AdamW with decoupled decay (Loshchilov and Hutter 2019, arXiv 1711.05101) for a few dense tensors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn


class AdamW:
    """m and v with bias correction; eps is added outside the square root."""

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        is_decayed: bool = False,
    ) -> None:
        self.parameters = tuple(parameters)
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.is_decayed = is_decayed
        # On the CPU: read at every step, and a device would have to be waited for.
        self._steps = torch.zeros(len(self.parameters), dtype=torch.int64, device="cpu")
        self._m = [torch.zeros_like(p, memory_format=torch.preserve_format).detach() for p in self.parameters]
        self._v = [torch.zeros_like(m) for m in self._m]

    @torch.no_grad()
    def step(self, *, lr_multiplier: float, weight_decay: float = 0.0, frozen: Collection[int] = ()) -> None:
        """One update of every parameter from its `grad`, but for those of the indices `frozen`.

        weight_decay: p = p (1 - lr decay), before the update, in groups that are decayed.
        """
        for i, (parameter, m, v) in enumerate(zip(self.parameters, self._m, self._v, strict=True)):
            if i in frozen:
                continue
            gradient = parameter.grad
            assert gradient is not None, "a parameter of the group has no gradient"
            self._steps[i] += 1
            steps = int(self._steps[i])
            step_size = self.lr * lr_multiplier / (1.0 - self.beta1**steps)
            root = (1.0 - self.beta2**steps) ** 0.5
            m.lerp_(gradient, 1.0 - self.beta1)
            v.mul_(self.beta2).addcmul_(gradient, gradient, value=1.0 - self.beta2)
            denominator: Tensor = v.sqrt().div_(root).add_(self.eps)
            if weight_decay and self.is_decayed:
                parameter.mul_(1.0 - self.lr * lr_multiplier * weight_decay)
            parameter.addcdiv_(m, denominator, value=-step_size)

    def state(self) -> Mapping[str, Tensor]:
        """Moments and step counts, by name."""
        moments = {f"{name}.{i}": t for name, ts in (("m", self._m), ("v", self._v)) for i, t in enumerate(ts)}
        return {"steps": self._steps, **moments}
