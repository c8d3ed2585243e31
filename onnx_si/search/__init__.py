"""Which points of the line give the observed region."""

from onnx_si.search.piece import linear_piece
from onnx_si.search.search import Progress, Search, SearchOptions, search

__all__ = ["Progress", "Search", "SearchOptions", "linear_piece", "search"]
