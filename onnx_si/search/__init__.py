"""Which points of the line give the observed region."""

from onnx_si.search.found import Progress, Search, SearchOptions
from onnx_si.search.loop import search
from onnx_si.search.piece import linear_piece

__all__ = ["Progress", "Search", "SearchOptions", "linear_piece", "search"]
