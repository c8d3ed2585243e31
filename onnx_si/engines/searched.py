"""A search's result as an engine's answer."""

from onnx_si.engines.engine import Answer, Spent
from onnx_si.search.found import Search


def answered(found: Search, guarantee: str, pieces: int | None = None) -> Answer:
    """The answer that a search for S gives, with what it cost; `pieces` where they are linear ones."""
    return Answer(
        guarantee=guarantee,
        p_value=found.p_value,
        p_value_bounds=found.p_value_bounds,
        inside=found.inside,
        undecided=found.undecided,
        complete=found.complete,
        costs=Spent(
            engine=guarantee,
            seconds=found.seconds,
            forward_passes=found.forward_passes,
            pieces=pieces,
            cells=found.cells,
            fates=found.fates,
            peak_bytes=found.peak_bytes,
            complete=found.complete,
        ),
        blur=found.blur,
        why=found.why,
    )
