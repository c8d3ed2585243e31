"""The paper's experiment, and a user's check of their own model: how often does each test reject?"""

from onnx_si.simulate.bar import Bar
from onnx_si.simulate.command import simulate_options, simulate_parser
from onnx_si.simulate.draws import Noise, parse_noise
from onnx_si.simulate.figure import save_figure
from onnx_si.simulate.plan import Wish
from onnx_si.simulate.simulation import Count, Simulation, simulate
from onnx_si.simulate.table import print_table

__all__ = [
    "Bar",
    "Count",
    "Noise",
    "Simulation",
    "Wish",
    "parse_noise",
    "print_table",
    "save_figure",
    "simulate",
    "simulate_options",
    "simulate_parser",
]
