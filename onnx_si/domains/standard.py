"""The domains that a search asks if nobody says otherwise."""

from onnx_si.domains.domain import Domains
from onnx_si.domains.enclosure.domain import Enclosures
from onnx_si.domains.piecewise.domain import Piecewise
from onnx_si.domains.points.domain import AtPoints

STANDARD = Domains(resolving=Piecewise(), claiming=Enclosures(), pointing=AtPoints())
RESOLVING_ONLY = Domains(resolving=Piecewise(), claiming=None, pointing=AtPoints())
