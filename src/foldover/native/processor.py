"""What the processor is: its name and what it can do, as Linux says it. No torch."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import cache

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})  # x86; the last: ARM


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """name: as its maker calls it; flags: sorted names of its abilities, empty where the system does not tell."""

    name: str
    flags: tuple[str, ...]

    @property
    def has_bf16(self) -> bool:
        """Whether it has instructions for products of bf16."""
        return not BF16_FLAGS.isdisjoint(self.flags)


@cache
def processor() -> Processor:
    """Of this machine."""
    found: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                found.setdefault(key.strip().lower(), value.strip())
    except OSError:
        pass
    return Processor(
        name=found.get("model name") or platform.processor() or platform.machine(),
        flags=tuple(sorted((found.get("flags") or found.get("features") or "").split())),
    )
