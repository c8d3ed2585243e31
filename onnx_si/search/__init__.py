"""Which points of the line give the observed region."""

from onnx_si.search.found import Progress, Search, SearchOptions
from onnx_si.search.piece import linear_piece
from onnx_si.search.search import search

__all__ = ["Progress", "Search", "SearchOptions", "linear_piece", "search"]
