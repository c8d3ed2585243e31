"""The document of an inspected model."""

from onnx_si.report.documents.result_document import MODEL
from onnx_si.report.documents.shape import Document, Form, Leaf, free, listed, text, truth, whole

TENSOR: dict[str, Form] = {
    "name": text("of the tensor", always=True),
    "type": text("of its elements", always=True),
    "shape": listed("sizes; a text or null for a free axis", Leaf(type="any", what="")),
    "layout": text("which axes are batch, channels and space; null where it can't be an image"),
    "reason": text("why it is read so", always=True),
}
OP: dict[str, Form] = {
    "op": text("name of the op", always=True),
    "domain": text("its op set; empty for the standard one", always=True),
    "since_version": whole("version of the op set in which it was last changed"),
    "class": text("kind of function that it is in this model", always=True),
    "count": whole("nodes that are so", always=True),
    "nodes": listed("names of the nodes that are not supported", text(""), always=True),
}
METHOD: dict[str, Form] = {
    "method": text("saliency method", always=True),
    "available": truth("whether it fits the model", always=True),
    "reason": text("why", always=True),
}
CHOICE: dict[str, Form] = {
    "what": text("layout, map, class, threshold or engine", always=True),
    "choice": text("what it will be", always=True),
    "reason": text("why", always=True),
    "option": text("the option that changes it, or -", always=True),
}
KEYS: dict[str, Form] = {
    **MODEL,
    "metadata": free("what the file says under onnx_si.*"),
    "plan": listed("what the plain command will do, with reasons; empty where it can't", CHOICE, always=True),
    "inputs": listed("declared inputs", TENSOR, always=True),
    "outputs": listed("declared outputs", TENSOR, always=True),
    "tensors": listed("inner tensors, where they were asked for", TENSOR),
    "ops": listed("ops by kind, the most frequent first", OP, always=True),
    "saliency": listed("saliency methods", METHOD, always=True),
    "guarantee": text("best guarantee that a test with the defaults can have", always=True),
    "reasons": listed("why it is no better", text(""), always=True),
    "assumed": listed("sizes of free axes that were assumed", text(""), always=True),
}

INSPECTION = Document(name="onnx-si/inspect/1", title="What a model is made of", keys=KEYS, explains=False)
