"""Study files: TOML text to `Study` and back. Text in, text out; nothing is read from disk here."""

from foldover.studyfile.parse import parse
from foldover.studyfile.render import render
from foldover.studyfile.scale import scale_study
from foldover.studyfile.trainer import TrainerInfo, TrainerOf

__all__ = ["TrainerInfo", "TrainerOf", "parse", "render", "scale_study"]
