"""Records that are read by key too."""

from dataclasses import dataclass

import pytest

from onnx_si.ground.record import Record


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair(Record):
    one: int
    other: str | None = None

    @property
    def both(self):
        return f"{self.one}{self.other}"


def test_a_record_is_a_mapping_of_its_fields_alone():
    pair = Pair(one=1)
    assert pair == {"one": 1, "other": None} and list(pair) == ["one", "other"] and len(pair) == 2
    assert {**pair, "more": 2} == {"one": 1, "other": None, "more": 2}
    assert pair != Pair(one=2) and pair.get("both") is None
    with pytest.raises(KeyError):
        pair["both"]
