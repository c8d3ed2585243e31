"""The JSON documents: what each holds, told once; the schemas in docs/schema are made from it."""

from onnx_si.report.documents.audit_document import AUDIT, AUDIT_ROW
from onnx_si.report.documents.inspection_document import INSPECTION
from onnx_si.report.documents.result_document import RESULT
from onnx_si.report.documents.shape import Document
from onnx_si.report.documents.simulation_document import SIMULATION

DOCUMENTS: tuple[Document, ...] = (RESULT, INSPECTION, SIMULATION, AUDIT, AUDIT_ROW)

__all__ = ["AUDIT", "AUDIT_ROW", "DOCUMENTS", "INSPECTION", "RESULT", "SIMULATION", "Document"]
