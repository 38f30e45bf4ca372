"""Response surfaces with known truth, a trainer that answers from them, and one that replays recorded runs."""

from foldover.simulator.calibrated import Calibration, calibration
from foldover.simulator.levers import coded_levels
from foldover.simulator.replay import ReplayTrainer
from foldover.simulator.surface import HOSTS, PLANTED, SURFACES, Surface, full_factorial, get_surface
from foldover.simulator.trainer import SimTrainer

__all__ = [
    "HOSTS",
    "PLANTED",
    "SURFACES",
    "Calibration",
    "ReplayTrainer",
    "SimTrainer",
    "Surface",
    "calibration",
    "coded_levels",
    "full_factorial",
    "get_surface",
]
