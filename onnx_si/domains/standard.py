"""The domains that a search asks if nobody says otherwise."""

from onnx_si.domains.domain import Bracketing, Domains
from onnx_si.domains.enclosure.domain import Enclosures
from onnx_si.domains.piecewise.domain import Piecewise
from onnx_si.domains.points.domain import AtPoints


def smooth() -> Bracketing:
    """Who is asked about networks with smooth parts; it keeps what it finds out of their weights."""
    from onnx_si.domains.polynomial.domain import Polynomials  # few networks need it

    return Polynomials()


STANDARD = Domains(resolving=Piecewise(), claiming=Enclosures(), pointing=AtPoints())
RESOLVING_ONLY = Domains(resolving=Piecewise(), claiming=None, pointing=AtPoints())
