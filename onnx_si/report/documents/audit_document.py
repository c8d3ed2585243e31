"""The documents of an audit: its summary, and one row for each image."""

from onnx_si.report.documents.shape import Document, Form, Leaf, free, listed, number, text, truth, whole

GATE: dict[str, Form] = {
    "gate": text("its name", always=True),
    "group": text("of images; all for all of them", always=True),
    "allowed": Leaf(type="any", what="the limit"),
    "found": Leaf(type="any", what="what is compared with it"),
    "passed": truth("whether it holds", always=True),
    "words": text("what was found", always=True),
}
GROUP: dict[str, Form] = {
    "group": text("of images; all for all of them", always=True),
    "images": whole("in the group", always=True),
    "tested": whole("with a p-value", always=True),
    "no_region": whole("without a salient region", always=True),
    "refused": whole("that can't be analysed", always=True),
    "failed": whole("that can't be read, or ended in a fault", always=True),
    "rejected": whole("significant at the rate, by the control over the group", always=True),
    "fisher": number("p-value of 'no region of the group is real', by Fisher's combination"),
    "simes": number("the same by Simes' test"),
    "uniform_p_value": number("of the Kolmogorov-Smirnov test of uniform p-values"),
    "parity_pixels": whole("pixels that differ in the deployed runtime, at most", always=True),
    "parity_unknown": whole("tested images that were not compared with it", always=True),
    "noise_estimated": whole("tested images whose noise was estimated from themselves", always=True),
    "warned": whole("images with warnings, which are in their rows", always=True),
    "guarantees": listed("of the p-values", text(""), always=True),
}

AUDIT = Document(
    name="onnx-si/audit/1",
    title="Many images, one verdict",
    keys={
        "passed": truth("whether every gate holds", always=True),
        "gates": listed("every gate", GATE, always=True),
        "control": text("of the error over images", always=True),
        "rate": number("at which it rejects", always=True),
        "groups": listed("counts of all images, and of every group", GROUP, always=True),
        "model": {"path": text("as it was given"), "sha256": text("of its bytes")},
        "config": free("images, options of the test and what is written"),
        "versions": free("of python and of the packages that the numbers depend on"),
    },
)

AUDIT_ROW = Document(
    name="onnx-si/audit-row/1",
    title="One image of an audit",
    keys={
        "number": whole("of the image, from 0", always=True),
        "image": text("path of the file", always=True),
        "image_sha256": text("of its bytes; null where it could not be read"),
        "group": text("that the manifest names"),
        "columns": free("the manifest's other columns"),
        "status": text("tested, no_region, refused or failed", always=True),
        "reason": text("why there is no p-value"),
        "picture": text("place of the picture in the audit's folder"),
        "result": Leaf(
            type="any", what="the document of the test, of schema onnx-si/result/1; null if it failed"
        ),
    },
    explains=False,
)
