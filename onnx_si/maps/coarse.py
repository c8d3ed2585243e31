"""A map averaged over blocks, whatever method made it."""

from dataclasses import replace

from onnx_si.graph import Editor
from onnx_si.maps.map import SaliencyMap, name_map
from onnx_si.maps.pixel_blocks import Blocks


def in_blocks(saliency: SaliencyMap, blocks: Blocks | None) -> SaliencyMap:
    """The map averaged over blocks.

    A map that ends in a Sigmoid, Softmax or root is the same function of the averages in front of it: what
    a threshold is applied to stays piecewise linear (a polynomial).
    """
    if blocks is None or saliency.blocks is not None:  # a class map has averaged its channels
        return replace(saliency, blocks=blocks)
    editor = Editor(saliency.model)
    margin = blocks.map_of(editor, saliency.margin_tensor)
    shown, notes = margin, saliency.notes
    if saliency.is_root:
        shown = editor.add("Sqrt", [margin])
    elif saliency.link == "probability":
        shown = editor.add("Sigmoid", [margin])
    elif saliency.is_logit:
        shown = editor.add("Neg", [editor.add("Softplus", [editor.add("Neg", [margin])])])
    if shown is not margin:
        what = "the squares under the root" if saliency.is_root else f"the scores of this {saliency.link}"
        notes += (f"{what} are averaged over the blocks, so that the map stays exact",)
    public = name_map(editor, shown)
    margin = public if shown is margin else margin
    return replace(
        saliency, model=editor.finish(), tensor=public, margin_tensor=margin, notes=notes, blocks=blocks
    )
