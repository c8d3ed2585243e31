"""The site builds without a warning, and needs nothing from elsewhere. Needs the extra `docs`."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from support.pages import browser

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("mkdocs", "material", "mkdocstrings")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"the extra `docs` is not installed: no {', '.join(MISSING)}"
)


class Page(HTMLParser):
    """Its links, what it loads by itself, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids.update(given[name] for name in ("id", "name") if given.get(name))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("href"):
            self.loaded.append(given["href"])
        elif given.get("src"):
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert run.returncode == 0, run.stderr
    return {path.resolve(): Page(path) for path in folder.rglob("*.html")}


def test_it_has_its_pages(site):
    names = {path.stem for path in site}
    assert {"index", "tutorial", "gallery", "which-option", "api", "method", "security"} <= names
    assert {"engine-exact", "engine-monte-carlo", "engine-thinned"} <= names


def test_nothing_is_loaded_from_elsewhere(site):
    for path, page in site.items():
        assert not [each for each in page.loaded if re.match(r"(https?:)?//", each)], path.name
    sheets = [sheet.read_text(encoding="utf-8") for sheet in next(iter(site)).parent.rglob("*.css")]
    assert sheets and not any(re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet) for sheet in sheets)


def test_no_link_is_dead(site):
    for path, page in site.items():
        if path.name == "404.html":
            continue  # its links are made for the site's root, wherever that is
        for target in (*page.links, *page.loaded):
            if re.match(r"[a-z]+:", target):
                continue
            place, mark, anchor = unquote(target).partition("#")
            there = (path.parent / place).resolve() if place else path
            assert there.exists(), f"{path.name}: {target}"
            if mark and anchor and there in site:
                assert anchor in site[there].ids, f"{path.name}: {target}"


def test_the_public_names_have_their_docstrings(site):
    import onnx_si

    page = next(page for path, page in site.items() if path.name == "api.html")
    assert {f"onnx_si.{name}" for name in onnx_si.__all__} <= page.ids


def test_the_tutorial_shows_what_it_printed(site):
    text = next(path for path in site if path.name == "tutorial.html").read_text(encoding="utf-8")
    assert "selective 0.30, naive 0.0069" in text


SEARCH = """<script>addEventListener("load", async () => {
  const box = document.querySelector("input[name=query]");
  const wait = (time) => new Promise((done) => setTimeout(done, time));
  const found = () => [...document.querySelectorAll(".md-search-result__item a")].map((each) => each.href);
  document.querySelector("label[for=__search]").click();
  for (let turn = 0; turn < 60 && !found().length; turn++) {
    box.focus();
    box.value = "truncation";
    box.dispatchEvent(new Event("keyup", { bubbles: true }));
    await wait(250);
  }
  const seen = document.createElement("textarea");
  seen.id = "seen";
  seen.textContent = found().join(" ");
  document.body.append(seen);
});</script></body>"""


@pytest.mark.skipif(browser() is None, reason="no Chromium here")
def test_the_search_works_from_the_disk(site, tmp_path):
    page = next(path for path in site if path.name == "gallery.html")
    copy = page.with_name("watched.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", SEARCH), encoding="utf-8")
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=30000"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path}", "--dump-dom"]
    try:
        done = subprocess.run([*command, copy.as_uri()], capture_output=True, text=True, timeout=240)
    finally:
        copy.unlink()
    seen = re.search(r'<textarea id="seen">(.*?)</textarea>', done.stdout)
    assert seen, done.stderr[-2000:]
    assert "method.html" in seen[1]
