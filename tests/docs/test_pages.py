"""The tutorial runs, the gallery's commands print what the page says, every page is in the navigation."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("gallery_make", DOCS / "gallery/make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tutorial_runs():
    run = subprocess.run(
        [sys.executable, "docs/tutorial.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert "exact" in run.stdout and "thinned" in run.stdout


def p_value(text: str) -> float:
    return float(re.search(r"^p-value +(?:<= )?(\S+)", text, re.MULTILINE)[1])


def shown() -> list[float]:
    blocks = re.findall(
        r"^```text\n(.*?)^```", (DOCS / "gallery.md").read_text(encoding="utf-8"), re.M | re.S
    )
    return [p_value(block) for block in blocks]


@pytest.mark.parametrize("number", range(6))
def test_the_gallery_shows_what_its_commands_print(gallery, tmp_path, number):
    arguments, expected = gallery.commands()[number], shown()[number]
    with gallery.workplace(tmp_path):
        printed = gallery.run([*arguments[:-2], "--verify", "0"])
    drawn = "guarantee   monte-carlo" in printed
    # chains follow the runtime's own rounding: on another processor their p-value is another draw
    assert p_value(printed) == pytest.approx(expected, rel=1e-2, abs=0.04 if drawn else 0)


def test_the_gallery_has_six_examples(gallery):
    assert len(gallery.commands()) == len(shown()) == 6


def test_the_gallery_has_each_picture_and_no_other(gallery):
    drawn = [arguments[-1] for arguments in gallery.commands()]
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\(gallery/(\S+\.png)\)", text) == drawn
    pictures = list((DOCS / "gallery").glob("*.png"))
    assert {picture.name for picture in pictures} == set(drawn)
    assert sum(picture.stat().st_size for picture in pictures) < 300_000


def test_every_page_is_in_the_navigation():
    named = set(
        re.findall(r"^ +- .+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {page.name for page in DOCS.glob("*.md")} <= named


@pytest.mark.parametrize(
    "page", ["which-option", "engine-exact", "engine-monte-carlo", "engine-thinned", "gallery"]
)
def test_options_that_are_named_exist(page, capsys):
    from onnx_si.cli.main import main

    with pytest.raises(SystemExit):
        main(["--help"])
    known = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    elsewhere = {"--signal"}  # of `simulate`
    assert set(re.findall(r"--[a-z][a-z-]*", text)) - known <= elsewhere
