"""Every link of the repository's own pages leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "models", "benchmarks")
PAGES = sorted([*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))])
LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^()\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
NAMED = re.compile(r"^\s*\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
ADDRESS = re.compile(r"^(https?://[\w.-]+\.[a-z]+(/\S*)?|mailto:\S+@\S+)$")


def prose(text: str) -> str:
    """Without blocks of code and code in lines, which hold no links."""
    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of its headings, as both GitHub and the site name them."""
    text = re.sub(r"^( *)(```+|~~~+).*?^\1\2 *$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower().strip()).replace(" ", "-")
        found.add(name if name not in found else f"{name}-1")
    return found


def dead(page: Path) -> list[str]:
    text = prose(page.read_text(encoding="utf-8"))
    bad = []
    for target in LINK.findall(text) + NAMED.findall(text):
        path, mark, anchor = target.partition("#")
        if ":" in path:
            good = bool(ADDRESS.match(target))
        else:
            place = (page.parent / path).resolve() if path else page
            good = place.is_relative_to(ROOT) and place.exists()
            if good and mark:
                good = place.suffix == ".md" and anchor in anchors(place)
        if not good:
            bad.append(target)
    return bad


def test_there_are_pages():
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {"README.md", "docs/method.md", "docs/gallery.md", "models/README.md"} <= names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_dead_links(page):
    assert dead(page) == []


@pytest.mark.parametrize(
    "target",
    [
        "gone.md",
        "#no-such-heading",
        "other.md#nor-this",
        "../../../etc",
        "http://nowhere",
        "picture.png#x",
        "ftp:x",
    ],
)
def test_a_dead_link_is_found(tmp_path, monkeypatch, target):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# Other\n\n## It's here: `code`\n", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"")
    page = tmp_path / "page.md"
    good = (
        "[a](other.md#its-here-code) [b](#page) ![c](picture.png) [d](https://example.org/x) `[e](no.md)`\n"
    )
    page.write_text(f"# Page\n\n{good}\n```\n[f](no.md)\n```\n\n[g\nh]({target})\n", encoding="utf-8")
    assert dead(page) == [target]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_to_a_page_is_on_one_line(page):
    """The site leads links to its own pages line by line; in others they would be dead."""
    links = (found for found in LINK.finditer(prose(page.read_text(encoding="utf-8"))) if ":" not in found[1])
    assert not [found[0] for found in links if "\n" in found[0]]
