"""C sources as libraries of this machine, and what its processor is. Who uses a library checks it first."""

from foldover.native.build import Absent, built, open_library
from foldover.native.processor import BF16_FLAGS, Processor, processor

__all__ = ["BF16_FLAGS", "Absent", "Processor", "built", "open_library", "processor"]
