"""Pages as a parser sees them, and as a browser runs them."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """All elements with their attributes and the text in them; a tag that is not closed is an error."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append({"tag": tag, "text": "", **dict(attrs)})
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_startendtag(self, tag, attrs):
        self.elements.append({"tag": tag, "text": "", **dict(attrs)})

    def handle_endtag(self, tag):
        assert self._open and self._open[-1]["tag"] == tag, (tag, self._open[-1:])
        self._open.pop()

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def one(self, tag, name):
        (found,) = [element for element in self.all(tag) if element.get("id") == name]
        return found

    def rows(self):
        """What the table's script makes of its data: rows, with texts in place of their numbers."""
        texts, rows = {}, []
        for line in json.loads(self.one("script", "rows")["text"]):
            if isinstance(line, list):
                texts[line[0]] = line[1]
            else:
                rows.append(line)
        return texts, rows


def hash_of(source):
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def browser():
    """A Chromium, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def run_in_browser(page, steps, place, *flags):
    """Run JavaScript on a page in a real browser.

    `steps` is the body of an async function whose value comes back, beside all errors, violations of the
    page's policy and addresses of the network that it asked. The policy is widened by this one script.
    """
    watch = (
        "window.seen = {errors: [], violations: []};"
        "addEventListener('error', (e) => seen.errors.push(String(e.message || e.target.src)), true);"
        "const broken = (event) => seen.violations.push(event.violatedDirective);"
        "document.addEventListener('securitypolicyviolation', broken);"
        "addEventListener('load', async () => {"
        f"const value = await (async () => {{ {steps} }})().catch((e) => 'failed: ' + e);"
        "const node = document.createElement('textarea'); node.id = 'seen';"
        "node.textContent = JSON.stringify({...seen, value}); document.body.append(node); });"
    )
    text = page.read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    wider = (
        f"{policy} {hash_of(watch)}" if "script-src" in policy else f"{policy}; script-src {hash_of(watch)}"
    )
    copy = page.with_name("watched.html")
    copy.write_text(text.replace(policy, wider).replace("<style>", f"<script>{watch}</script><style>", 1))
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [
        f"--user-data-dir={place / 'profile'}",
        f"--log-net-log={place / 'net.json'}",
        "--virtual-time-budget=30000",
        *flags,
    ]
    done = subprocess.run(
        [*command, "--dump-dom", copy.as_uri()], capture_output=True, text=True, timeout=240
    )
    copy.unlink()
    seen = re.search(r'<textarea id="seen">(.*?)</textarea>', done.stdout, re.DOTALL)
    assert seen, done.stdout[-500:] + done.stderr[-2000:]
    (holder,) = Page(f"<p>{seen[1]}</p>").elements
    by_page = (
        r'"initiator":"(?!not an origin)[^"]*"[^\n]*?"url":"((?:https?|ws|ftp)[^"]*)"'  # not by the browser
    )
    asked = set(re.findall(by_page, (place / "net.json").read_text()))
    return {**json.loads(holder["text"]), "asked": sorted(asked)}
