"""An axis of tokens: places of the image side by side, and entries of the graph's making beside them."""

from collections.abc import Sequence

from onnx_si.rules.axes import TOKENS, Axis, Part, is_fresh, size_of


def inside_of(axis: Axis) -> tuple[tuple[Part, ...], int] | None:
    """The axes of space that an axis is a row of, and the tokens in front of them; None where it is none."""
    if len(axis) == 1 and axis[0].source == TOKENS:
        return axis[0].inside, axis[0].lead
    plain = all(part.source >= 0 and not part.minor and part.stride > 0 for part in axis)
    return (axis, 0) if axis and plain and len({part.source for part in axis}) == len(axis) else None


def joined_row(pieces: Sequence[Axis]) -> Axis | None:
    """Places of the image with tokens of the graph's making put beside them; None where these are none."""
    rows = [i for i, piece in enumerate(pieces) if inside_of(piece) is not None]
    if len(rows) != 1 or any(not is_fresh(piece) for i, piece in enumerate(pieces) if i != rows[0]):
        return None
    inside, lead = inside_of(pieces[rows[0]]) or ((), 0)
    lead += sum(size_of(piece) for piece in pieces[: rows[0]])
    return (Part(source=TOKENS, size=sum(map(size_of, pieces)), inside=inside, lead=lead),)


def cut_row(axis: Axis, start: int, size: int) -> Axis | None:
    """A row of tokens from one of them on; None where it is none, or places of the image are cut off."""
    if len(axis) != 1 or axis[0].source != TOKENS:
        return None
    inside, lead = axis[0].inside, axis[0].lead
    start += axis[0].size if start < 0 else 0
    if not start <= lead or start + size < lead + size_of(inside):
        return None
    if size == size_of(inside):
        return inside
    return (Part(source=TOKENS, size=size, inside=inside, lead=lead - start),)
