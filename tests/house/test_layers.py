"""The house's own rules: which module may import which, and what must never be imported."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "onnx_si").rglob("*.py"))
LONGEST = 350  # lines
FORBIDDEN = {
    "torch": "the product runs without PyTorch",
    "tensorflow": "the product runs without TensorFlow",
    "keras": "the product runs without TensorFlow",
    "tf2onnx": "the product runs without TensorFlow",
    "pickle": "a model file or an image must never run code",
    "marshal": "a model file or an image must never run code",
    "shelve": "a model file or an image must never run code",
    "joblib": "its load runs code from files; only its Parallel is used, by the simulations",
}


def imported(path):
    """Top-level names of all packages that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).split(".")[0]


def calls(path):
    """Names of plain functions called, and keyword arguments that are the constant True."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id
            yield from (
                str(k.arg)
                for k in node.keywords
                if isinstance(k.value, ast.Constant) and k.value.value is True
            )


def test_imports_go_down_the_layers_only():
    """The contract in pyproject.toml, checked by import-linter."""
    pytest.importorskip("importlinter", reason="import-linter is not installed (it is in the test extra)")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    done = subprocess.run(
        [*command, "--config", "pyproject.toml", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_every_room_is_in_the_contract_and_on_the_plan_in_one_order():
    rooms = {path.relative_to(ROOT / "onnx_si").parts[0].removesuffix(".py") for path in SOURCES}
    rooms -= {"__init__", "__main__", "testing"}
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    contract = [names.replace("onnx_si.", "") for names in layers["contracts"][0]["layers"]]
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    plan = re.findall(r"^([a-z]+(?: \| [a-z]+)?)(?:  |$)", text.split("```")[1], re.MULTILINE)
    assert {room for names in contract for room in names.split(" | ")} == rooms
    assert [room for names in plan for room in names.split(" | ")] == [
        room for names in contract for room in names.split(" | ")
    ]


def test_every_file_that_the_plan_names_is_there():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    paths = [f"/{path.relative_to(ROOT).as_posix()}" for path in SOURCES]
    named = re.findall(r"`([\w/]+\.py)`", text)
    assert len(named) > 80
    for name in named:
        assert (ROOT / name).is_file() or any(path.endswith(f"/{name}") for path in paths), name


def test_what_a_p_value_may_be_is_told_in_one_place():
    """Domains and engines take the record; every text and gate asks it."""
    records, told = ROOT / "onnx_si/choices/guarantees.py", []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told += [
            path for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == "certified"
        ]
    assert told == [records]


SPREADS_WORK = [ROOT / "onnx_si" / place for place in ("simulation/pool.py", "auditing/workers.py")]
BEGINS_WORKERS = ROOT / "onnx_si/ground/deaf.py"  # the process beside them that joblib begins


def test_no_module_imports_a_framework_or_runs_code_from_files():
    for path in SOURCES:
        allowed = {"joblib"} if path in (*SPREADS_WORK, BEGINS_WORKERS) else set()
        for name in set(imported(path)) - allowed:
            assert name not in FORBIDDEN, f"{path}: {name}: {FORBIDDEN.get(name)}"
        assert not {"eval", "exec", "compile", "allow_pickle"} & set(calls(path)), path


def test_importing_the_package_loads_no_framework():
    """Not through another package either."""
    script = "import sys, onnx_si; print(*(m for m in ('torch', 'tensorflow', 'keras') if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_file_can_be_read_in_a_sitting():
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path: count for path, count in lines.items() if count > LONGEST} == {}


def test_relative_and_star_imports_are_not_used():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: line {node.lineno} imports relatively"
                assert all(alias.name != "*" for alias in node.names), (
                    f"{path}: line {node.lineno} imports a star"
                )


def test_joblib_only_spreads_work():
    """Its `load` and `dump` are pickles."""
    for path in SPREADS_WORK:
        only_spreads_work(path)


def only_spreads_work(path):
    source = path.read_text(encoding="utf-8")
    names = {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "joblib"
        for alias in node.names
    }
    assert {"Parallel", "delayed"} <= names <= {"Parallel", "delayed", "parallel_config"}
    assert "import joblib" not in source


def test_nothing_above_the_domains_names_one():
    """Whoever searches asks a record of domains; which ones there are is told in one file."""
    folders = [
        f"onnx_si.domains.{file.parent.name}." for file in (ROOT / "onnx_si/domains").glob("*/__init__.py")
    ]
    assert len(folders) >= 3
    for path in SOURCES:
        if "domains" not in path.relative_to(ROOT).parts:
            source = path.read_text(encoding="utf-8")
            assert not [folder for folder in folders if folder in source], path


def is_dataclass(decorator):
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "dataclass"


def fields_of(definition):
    """Names of the fields that its constructor takes."""
    for line in definition.body:
        if not isinstance(line, ast.AnnAssign) or "ClassVar" in ast.unparse(line.annotation):
            continue
        if line.value is None or "init=False" not in ast.unparse(line.value):
            yield ast.unparse(line.target)


def test_dataclasses_of_more_than_three_fields_are_keyword_only():
    """Nobody can mix up what stands where."""
    seen = 0
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and len(list(fields_of(node))) > 3:
                for decorator in filter(is_dataclass, node.decorator_list):
                    seen += 1
                    assert "kw_only=True" in ast.unparse(decorator), f"{path}: {node.name}"
    assert seen > 90


ALIKE = {"__init__.py", "__main__.py"}
IN_EVERY_DOMAIN = {"domain.py", "value.py", "verdict.py"}


def test_no_two_files_have_one_name():
    """But for what every value domain has in its folder."""
    names = Counter(
        path.name
        for path in SOURCES
        if path.name not in ALIKE
        and not (path.name in IN_EVERY_DOMAIN and path.parent.parent == ROOT / "onnx_si" / "domains")
    )
    assert [name for name, count in names.items() if count > 1] == []


BESIDE_THE_ROOMS = {"support", "house", "bed", "fuzz", "random_graphs", "converters", "benchmarks", "docs"}


def test_the_tests_mirror_the_rooms():
    """A folder for each room, helpers in support, and no two test files of one name."""
    rooms = {path.parent.name for path in SOURCES if path.parent.parent == ROOT / "onnx_si"}
    files = list((ROOT / "tests").rglob("test_*.py"))
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in files}
    assert folders <= rooms | BESIDE_THE_ROOMS
    assert rooms - folders <= {"choices"}  # told with the options that are made from them
    assert len({path.name for path in files}) == len(files)
