"""The paper's experiment, and a user's check of their own model: how often does each test reject?"""

from onnx_si.simulation.draws import Noise, parse_noise
from onnx_si.simulation.experiment import Simulation, simulate

__all__ = ["Noise", "Simulation", "parse_noise", "simulate"]
