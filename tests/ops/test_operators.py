"""docs/operators.md says what the registry and the tests say."""

from onnx_si.rules.registry import registered

from .node_cases import all_cases
from .operators import FILE, WITHOUT, document


def test_the_table_of_operators_is_up_to_date():
    assert FILE.read_text(encoding="utf-8") == document(), "run: PYTHONPATH=tests python -m ops.operators"


def test_every_op_type_is_handled_or_listed_with_a_reason():
    types = {node.op_type for case in all_cases().values() for node in case.model.graph.node}
    assert types - {handler.op for handler in registered()} == set(WITHOUT)


def test_most_op_types_have_a_handler():
    """The mark that was set: 150 of the 200 op types of the node cases."""
    types = {(node.domain, node.op_type) for case in all_cases().values() for node in case.model.graph.node}
    assert len(types & {(handler.domain, handler.op) for handler in registered()}) >= 150
