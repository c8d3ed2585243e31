"""Which points of the line give the observed region."""

from onnx_si.search.bracketing import bracketed
from onnx_si.search.forecasting import Forecast, forecast, least_cost
from onnx_si.search.found import Progress, Search, SearchOptions
from onnx_si.search.loop import search
from onnx_si.search.piece import linear_piece
from onnx_si.search.stop import Stop

__all__ = [
    "Forecast",
    "Progress",
    "Search",
    "SearchOptions",
    "Stop",
    "bracketed",
    "forecast",
    "least_cost",
    "linear_piece",
    "search",
]
