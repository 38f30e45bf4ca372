"""The two shapes that training is measured at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """depth, width, head_dim, context and vocab_size of a model; rows a step.

    must and aim: how many times faster foldover has to be than plain eager PyTorch, in bf16 and in fp32.
    """

    name: str
    depth: int
    width: int
    vocab_size: int
    must: tuple[float, float]
    aim: tuple[float, float]
    head_dim: int = 64
    context: int = 256
    rows: int = 8

    @property
    def tokens(self) -> int:
        """Tokens a step."""
        return self.rows * self.context

    @property
    def flops(self) -> float:
        """FLOPs a step of the model's products, forward and backward; what an optimiser computes is not counted."""
        matrices = 12 * self.depth * self.width**2 + self.vocab_size * self.width
        return float(self.tokens * (6 * matrices + 12 * self.depth * self.width * self.context))

    def levers(self) -> dict[str, object]:
        """As lever values of the built-in trainer."""
        return {
            "depth": self.depth,
            "width": self.width,
            "head_dim": self.head_dim,
            "context": self.context,
            "vocab_size": self.vocab_size,
            "total_batch": self.tokens,
            "window_pattern": "L",
            "free_steps": 0,
            "long_documents": "split",
        }


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(name="S", depth=4, width=128, vocab_size=1024, must=(1.7, 2.3), aim=(2.4, 3.6)),
        Shape(name="M", depth=4, width=256, vocab_size=8192, must=(2.0, 3.0), aim=(2.6, 4.3)),
    )
}
