"""What mkdocs can't do by itself: pages whose source is elsewhere in the repository, and the tutorial.

The sources' links are those of the repository, so that they work where it is read. On the site a link to
another page leads there; one to a file that has no page (code, a folder) stays as its text.
"""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

from markdown import Extension, Markdown
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "models/README.md": "models.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/results/speed.md": "speed.md",
    "benchmarks/trained/README.md": "trained.md",
}
TUTORIAL = "docs/tutorial.py"
SOURCES = {page: source for source, page in ELSEWHERE.items()}
LINK = re.compile(r"(?P<code>``?[^`]+``?)|\[(?P<text>(?:[^\[\]`]|`[^`]*`)*)\]\((?P<target>[^()\s]+)\)")


class TwoSpaces(Extension):
    """Lists are indented by two spaces, as everywhere else; the library's default is four."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (the library's name)
        md.tab_length = 2


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    extensions: list[Any] = config.markdown_extensions
    extensions.append(TwoSpaces())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    script = (ROOT / TUTORIAL).read_text(encoding="utf-8")
    files.append(File.generated(config, "tutorial.md", content=tutorial(script)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = page.file.src_uri
    source = SOURCES.get(here, f"docs/{here}")
    lines, fenced = [], False
    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        lines.append(line if fenced else LINK.sub(lambda found: _link(found, source, files), line))
    return "\n".join(lines)


def _link(found: re.Match[str], source: str, files: Files) -> str:
    target = found["target"]
    if found["code"] or target.startswith(("http:", "https:", "#")):
        return found[0]
    path, mark, anchor = target.partition("#")
    place = os.path.normpath(Path(source).parent / path).replace(os.sep, "/")
    pages = {**ELSEWHERE, TUTORIAL: "tutorial.md"}
    page = pages.get(place) or pages.get(f"{place}/README.md") or place.removeprefix("docs/")
    there = files.get_file_from_path(page)
    if there and there.inclusion.is_included():
        return f"[{found['text']}]({page}{mark}{anchor})"
    if (ROOT / place).exists():
        return found["text"]
    return found[0]  # dead: the strict build says so


def tutorial(script: str) -> str:
    """The script as a page: cells of text as they are, cells of code with what they print."""
    parts, names = [], {"__name__": "tutorial"}
    with contextlib.chdir(ROOT):
        for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
            kind, _, body = cell.partition("\n")
            if "[markdown]" in kind:
                parts.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip())
                continue
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(body, TUTORIAL, "exec"), names)  # noqa: S102 (our own script)
            parts.append(f"```python\n{body.strip()}\n```")
            if out.getvalue():
                parts.append(f"```text\n{out.getvalue().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
