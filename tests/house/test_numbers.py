"""The numbers of a search are in its two records: none stands in a module, and no test changes one there."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("search", "engines")  # chains have their own, each of which is part of what they draw
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / "onnx_si" / folder).glob("*.py"))
PACKAGES = tuple(f"onnx_si.{folder}" for folder in FOLDERS)
DECIDE = {
    "ends.py": {"FEW_ULPS", "ULPS"},
    "bracketing.py": {"LEAST_ULPS"},
    "parts.py": {"AGREEMENT"},
    "loop.py": {"LEAST_POINTS"},
    "policy.py": {"NO_PARTS"},
    "ledger.py": {"NOTHING"},
}
"""What rounding is, by what a part may differ, how many points the smallest step has, names for nothing."""


def numbers_in(text):
    """Names of a module's own variables in whose values numbers are written."""
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        constants = [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
        if any(type(value) in (int, float) for value in constants):
            yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))


def changed_in(text):
    """What a test patches, as far as it is of the search or of an engine, by their module and in capitals."""
    tree = ast.parse(text)
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGES)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "monkeypatch.setattr":
            count = 1 if isinstance(node.args[0], ast.Constant) else 2
            words = ".".join(ast.unparse(one).strip("'\"") for one in node.args[:count])
            module, name = words.split(".")[:-1], words.split(".")[-1]
            if name.isupper() and (module[0] in modules or words.startswith(PACKAGES)):
                yield words


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_modules_hold_no_numbers(path):
    assert set(numbers_in(path.read_text())) == DECIDE.get(path.name, set())


def test_no_test_changes_a_number_of_the_search():
    """What is to be another one is handed in."""
    found = [one for path in sorted((ROOT / "tests").rglob("*.py")) for one in changed_in(path.read_text())]
    assert found == []


def test_what_is_forbidden_is_seen():
    text = "A, B = 1.5, x\nC: float = 2.0**-3\nD = ('a', 3)\nE = 'text'\nF = True\ndef f(x=1): return 2\n"
    assert set(numbers_in(text)) == {"A", "B", "C", "D"}
    patches = (
        "from onnx_si.engines import choosing as c",
        "monkeypatch.setattr(c, 'SLACK', 1)",
        "monkeypatch.setattr(c, 'forecast', 1)",
        "monkeypatch.setattr('onnx_si.search.loop.TENSORS', 1)",
        "monkeypatch.setattr(other, 'SLACK', 1)",
    )
    assert list(changed_in("\n".join(patches))) == ["c.SLACK", "onnx_si.search.loop.TENSORS"]
