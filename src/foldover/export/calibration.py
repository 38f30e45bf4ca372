"""What the inputs of a model's matrices are like: every product x W' is seen where torch computes it.

Watching calls of `torch.nn.functional.linear` rather than modules finds all users of a weight: banked matrices
(views of one parameter), factors, the head of a tied embedding, blocks that are shared or visited several times.
Sums run over all calls. Gradients of outputs are seen where the caller runs a backward pass.

Legend: x (..., c), W (r, c) or rows of it, N tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from foldover.export.tensors import Calibration


def collect(run: Callable[[], None], parameters: Mapping[str, Tensor]) -> Calibration:
    """What `run` shows of the inputs of these parameters.

    run: puts batches through the model as evaluation would, under whatever autocast that has; it may run backward on
    the mean loss over a batch's tokens, then gradients are g times those tokens, as if each token were a loss of its
    own. parameters: matrices (r, c) or banks (n, r, c) by name; several names of one tensor count once, the
    first. Products with a transposed weight are not inputs to its columns and are left out.
    """
    watcher = _Watcher(parameters)
    with watcher:
        run()
    return watcher.result()


class _Seen:
    """Sums of one parameter: of x'x and |x| over calls, of g^2 over backward passes. A bank has one each."""

    def __init__(self, weight: Tensor) -> None:
        bank, rows, columns = weight.shape if weight.ndim == 3 else (1, *weight.shape)
        self.stride, self.columns = rows * columns, columns
        options: dict[str, Any] = {"dtype": torch.float32, "device": weight.device}
        self.hessian = torch.zeros(bank, columns, columns, **options)
        self.size = torch.zeros(bank, columns, **options)
        self.gradient = torch.zeros(bank, rows, **options)
        self.tokens = torch.zeros(bank, dtype=torch.int64)
        self.gradient_tokens = torch.zeros(bank, dtype=torch.int64)
        self.is_bank = weight.ndim == 3


class _Watcher(TorchFunctionMode):
    """Adds up inputs on the way of `linear`, and lets the call through."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._seen: dict[str, _Seen] = {}
        self._places: dict[int, list[tuple[int, int, str]]] = {}
        known: set[int] = set()
        for name, weight in parameters.items():
            if weight.data_ptr() in known:
                continue
            known.add(weight.data_ptr())
            self._seen[name] = _Seen(weight)
            place = (weight.data_ptr(), weight.numel() * weight.element_size(), name)
            self._places.setdefault(weight.untyped_storage().data_ptr(), []).append(place)
        self._last: tuple[Tensor, int, Tensor, Tensor] | None = None

    def __torch_function__(  # what torch calls
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is functional.linear:
            named = kwargs or {}
            self._add(args[0] if args else named["input"], args[1] if len(args) > 1 else named["weight"], out)
        return out

    @torch.no_grad()
    def _add(self, x: Tensor, weight: Tensor, out: Tensor) -> None:
        found = self._find(weight)
        if found is None:
            return
        seen, matrix, first_row, first_column = found
        product, size, tokens = self._sums(x)
        c = x.shape[-1]
        columns = slice(first_column, first_column + c)
        seen.hessian[matrix, columns, columns] += product
        seen.size[matrix, columns] += size
        seen.tokens[matrix] += tokens
        if out.requires_grad:
            rows = slice(first_row, first_row + weight.shape[0])

            def add_gradient(gradient: Tensor) -> None:
                per_token = gradient.detach().reshape(-1, gradient.shape[-1]).float() * tokens
                seen.gradient[matrix, rows] += per_token.square().sum(dim=0)
                seen.gradient_tokens[matrix] += tokens

            out.register_hook(add_gradient)  # type: ignore[no-untyped-call]

    def _sums(self, x: Tensor) -> tuple[Tensor, Tensor, int]:
        """x'x, sum of |x| and the number of rows; of one input of several products, computed once."""
        if self._last is not None and self._last[0] is x and self._last[1] == x._version:
            return self._last[2], self._last[3], x[..., 0].numel()
        flat = x.detach().reshape(-1, x.shape[-1]).float()
        product, size = flat.T @ flat, flat.abs().sum(dim=0)
        self._last = (x, x._version, product, size)
        return product, size, flat.shape[0]

    def _find(self, weight: Tensor) -> tuple[_Seen, int, int, int] | None:
        """The parameter of which a weight is a view, and where in it the view begins: matrix, row, column."""
        for start, length, name in self._places.get(weight.untyped_storage().data_ptr(), ()):
            offset = weight.data_ptr() - start
            seen = self._seen[name]
            if not 0 <= offset < length:
                continue
            if weight.ndim != 2 or weight.stride(-1) != 1 or (weight.shape[0] > 1 and weight.stride(0) != seen.columns):
                return None
            matrix, place = divmod(offset // weight.element_size(), seen.stride)
            return seen, matrix, *divmod(place, seen.columns)
        return None

    def result(self) -> Calibration:
        """Means over tokens. Parameters that no product used are left out."""
        hessians, sizes, gradients, tokens = {}, {}, {}, {}
        for name, seen in self._seen.items():
            if not int(seen.tokens.sum()):
                continue
            counts = seen.tokens.clamp_min(1).to(seen.size.device)
            hessian, size = seen.hessian / counts.view(-1, 1, 1), seen.size / counts.view(-1, 1)
            hessians[name] = _array(hessian if seen.is_bank else hessian[0])
            sizes[name] = _array(size if seen.is_bank else size[0])
            tokens[name] = int(seen.tokens.sum())
            if int(seen.gradient_tokens.sum()):
                gradient = seen.gradient / seen.gradient_tokens.clamp_min(1).to(seen.size.device).view(-1, 1)
                gradients[name] = _array(gradient if seen.is_bank else gradient[0])
        return Calibration(hessians=hessians, input_sizes=sizes, gradients=gradients, tokens=tokens)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy()
    return array
