"""The report of an audit and the page of one test: structure, escaping, and what a browser makes of them."""

import csv
import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image
from support import audits, nets, pages

import onnx_si
from onnx_si.auditing.running import run_audit
from onnx_si.cli.main import main
from onnx_si.report.html import sortable as table
from onnx_si.report.html.charts import histogram, quantiles
from onnx_si.report.html.sortable import safe_json

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&\"'{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An audit whose names and texts are hostile, with every outcome."""
    place = audits.folder_of(tmp_path_factory.mktemp("report") / "data", count=8)
    (place / "images" / "bad.npy").write_bytes(b"nothing")
    strange = "images/<img src=x onerror=alert(1)>&'.npy"
    np.save(place / "images" / strange.partition("/")[2], np.load(place / "images" / "scan1.npy"))
    with (place / "list.csv").open("a", newline="") as stream:
        csv.writer(stream).writerows([("images/bad.npy", HOSTILE, HOSTILE), (strange, HOSTILE, "x")])
    wish = audits.wish(place, pictures=True, gates={"max_failed": 0, "min_rejected": {HOSTILE: 0.0}})
    return run_audit(wish, place / "out", jobs=0)


@pytest.fixture(scope="module")
def page(made):
    return pages.Page((made.folder / "report.html").read_text())


def test_one_file_that_asks_for_nothing(page):
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv"))
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    for script in page.all("script"):
        assert "src" not in script
        assert script.get("type") == "application/json" or pages.hash_of(script["text"]) in policy
    (style,) = page.all("style")
    assert pages.hash_of(style["text"]) in policy and "url(" not in style["text"]
    for element in page.elements:
        for name in ("src", "href", "action", "srcset"):
            assert not re.match(r"(?i)\s*(https?:|//|javascript:)", element.get(name) or ""), element
        assert not [name for name in element if name.startswith("on") or name == "style"], element


def test_the_verdict_comes_first_and_says_why(page, made):
    headings = [one for one in page.elements if one["tag"] in ("h1", "h2")]
    assert headings[0]["text"] == "Audit of model.onnx"
    assert headings[1]["text"] == "Not passed: 1 of 2 conditions does not hold"
    assert "1 of 10 images failed" in page.elements[page.elements.index(headings[1]) - 1]["text"]
    wanted = ["Counts, by group", "All p-values together", "Every image", "How to read this", "What was run"]
    assert [one["text"] for one in headings[2:]] == wanted
    assert not made.passed


def test_it_can_be_used_without_eyes_and_mouse(page):
    names = {one["id"] for one in page.elements if "id" in one}
    assert len(names) == sum("id" in one for one in page.elements)
    for one in page.elements:
        assert one.get("aria-labelledby") in {None, *names}
    assert page.all("html")[0]["lang"] == "en" and len(page.all("h1")) == 1
    assert all(one["aria-label"] for one in page.all("svg") if one.get("role") == "img")
    assert all("scope" in one for one in page.all("th"))
    assert [one["text"] for one in page.all("button")][:2] == ["number", "image"]
    assert any(one.get("href") == "#main" for one in page.all("a"))


def test_what_files_say_is_text(page):
    assert not [one for one in page.all("img") if one.get("src") == "x"]
    assert len(page.all("script")) == 3
    assert f"group {HOSTILE}" in " ".join(one["text"] for one in page.all("li"))
    texts, rows = page.rows()
    assert HOSTILE in texts.values() and rows[8]["c"] == {"ward": HOSTILE} and rows[9]["i"].endswith("&'.npy")


def test_rows_hold_every_image_and_its_command(page, made, tmp_path, monkeypatch, capsys):
    texts, rows = page.rows()
    documents = list(made.rows())
    assert [row["n"] for row in rows] == list(range(10)) and rows[8]["s"] == "failed"
    tested = [row for row in rows if row["s"] == "tested"]
    assert len(tested) >= 8
    monkeypatch.chdir(made.folder / page.one("code", "base")["text"])
    for row in (tested[0], tested[-1]):
        assert row["p"] == documents[row["n"]]["result"]["p_value"] and (made.folder / row["pic"]).is_file()
        words = shlex.split("".join(texts[part] if isinstance(part, int) else part for part in row["cmd"]))
        assert words[0] == "onnx-si"
        assert main([*words[1:], "--json", "--quiet"]) == 0
        assert json.loads(capsys.readouterr().out)["p_value"] == row["p"]


def test_pictures_show_image_and_map(made):
    for row in made.rows():
        if row["picture"]:
            with Image.open(made.folder / row["picture"]) as picture:
                assert picture.size == (2 * 192 + 8, 192)
                assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


@pytest.mark.parametrize("shape", [(12,), (5, 6, 7), (700, 3)])
def test_signals_volumes_and_large_images_have_a_picture_too(shape):
    from onnx_si.ground.layout import Layout
    from onnx_si.report.thumbnail import thumbnail

    axes = {1: "W", 2: "HW", 3: "DHW"}[len(shape)]
    values = np.random.default_rng(0).normal(size=shape)
    drawn = thumbnail(values[None], Layout(f"N{axes}", ""), values, values > 1)
    assert drawn.startswith(b"\x89PNG") and len(drawn) < 100_000
    flat = thumbnail(0 * values[None], Layout(f"N{axes}", ""), 0 * values, values > 1)
    assert flat.startswith(b"\x89PNG")


def test_a_chart_counts_every_p_value():
    bars = pages.Page(str(histogram([0.01, 0.02, 0.99, 1.0]))).all("title")
    assert [bar["text"].split()[0] for bar in bars] == ["2", *["0"] * 18, "2"]
    for chart in (histogram([]), quantiles([])):
        assert "nan" not in chart
    assert len(pages.Page(str(quantiles(np.linspace(0, 1, 5000)))).all("circle")) == 400


def test_data_cannot_end_its_script():
    assert "<" not in safe_json([HOSTILE, "\u2028"]) and "\u2028" not in safe_json(["\u2028"])
    assert json.loads(safe_json([HOSTILE])) == [HOSTILE]


def test_texts_are_told_once_and_not_kept_without_end(monkeypatch):
    monkeypatch.setattr(table, "MOST_TEXTS", 2)
    texts = table._Texts()
    assert [texts.of(word) for word in ("a", "b", "a", "c", "", None)] == [0, 1, 0, "c", None, None]
    assert texts.news() == [(0, "a"), (1, "b")] and texts.news() == []


# ------------------------------------------------------------------------------------ one test


def test_a_page_of_one_test(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").write_bytes(nets.map_net(seed=1, size=8).proto.SerializeToString())
    image = np.random.default_rng(1).normal(size=(8, 8))
    image[2:6, 2:6] += 4
    np.save("-strange <b>&.npy", image)
    given = [
        "--sigma",
        "1",
        "--threshold",
        "minmax:0.5",
        "--randomise",
        "0.2",
        "--method",
        "naive",
        "--ring",
        "2",
    ]
    given += ["--hypothesis", "neighborhood", "--alpha", "0.1", "--seed", "3", "--quiet"]
    assert main(["m.onnx", "./-strange <b>&.npy", *given, "--html", "r.html", "--output", "a.json"]) == 0
    page = pages.Page((tmp_path / "r.html").read_text())
    assert "-strange <b>&.npy" in page.all("h1")[0]["text"] and not page.all("script")
    (picture,) = page.all("img")
    assert picture["src"].startswith("data:image/png;base64,") and "outlined" in picture["alt"]
    words = shlex.split(page.all("pre")[0]["text"])
    assert main([*words[1:], "--quiet", "--output", "b.json"]) == 0
    before, now = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    before["search"]["seconds"] = now["search"]["seconds"] = 0
    assert before["p_value"] == now["p_value"] and before["config"] == now["config"]
    assert before["comparison"] == now["comparison"]


def test_html_must_be_writable(tmp_path, capsys):
    assert main(["m.onnx", "i.npy", "--html", str(tmp_path / "no" / "a.html")]) == 2
    assert "can't be written" in capsys.readouterr().err


def test_what_a_notebook_shows(made):
    image = np.random.default_rng(1).normal(size=(8, 8))
    result = onnx_si.test(nets.map_net(seed=1, size=8), image, sigma=1.0, threshold="minmax:0.5")
    shown = pages.Page(result._repr_html_())
    assert shown.all("img") and not shown.all("script") and not shown.all("style") and not shown.all("pre")
    assert pages.Page(made._repr_html_()).all("h2")[0]["text"].startswith("Not passed")


# ------------------------------------------------------------------------------------ a real browser

needs_browser = pytest.mark.skipif(pages.browser() is None, reason="no Chromium on this machine's PATH")

STEPS = """
const lines = () => [...document.querySelectorAll('#table tbody tr')];
const column = (n) => lines().map((line) => line.children[n]?.textContent);
const head = (key) => document.querySelector(`th[data-key=${key}] button`);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const out = {start: column(0), width: document.documentElement.scrollWidth - innerWidth};
head('p').click(); out.up = column(4); out.sort = head('p').parentNode.getAttribute('aria-sort');
head('p').click(); out.down = column(0);
head('n').click();
const search = document.getElementById('search');
search.value = 'scan3'; search.dispatchEvent(new Event('input')); await wait(300);
out.found = column(1); out.count = document.getElementById('count').textContent;
search.value = ''; search.dispatchEvent(new Event('input')); await wait(300);
const status = document.getElementById('status');
status.value = 'failed'; status.dispatchEvent(new Event('change')); out.failed = column(1);
status.value = ''; status.dispatchEvent(new Event('change'));
document.querySelectorAll('#table tbody button')[9].click();
out.detail = document.querySelector('.detail').textContent;
const large = document.querySelector('.detail img');
large.scrollIntoView();
if (!large.complete) await new Promise((done) => large.addEventListener('load', done));
out.large = large.naturalWidth;
out.alerts = document.querySelectorAll('img[src="x"]').length;
return out;
"""


@needs_browser
@pytest.mark.parametrize("size", ["1200,900", "500,800"])
def test_the_table_works_in_a_browser(made, tmp_path, size):
    seen = pages.run_in_browser(made.folder / "report.html", STEPS, tmp_path, f"--window-size={size}")
    assert seen["errors"] == [] and seen["violations"] == []
    value = seen["value"]
    assert value["start"] == [str(number) for number in range(10)] and value["sort"] == "ascending"
    numbers = {row["number"]: row["result"]["p_value"] for row in made.rows() if row["status"] == "tested"}
    order = sorted(numbers, key=lambda number: (-numbers[number], number))
    assert value["down"][: len(order)] == [str(number) for number in order]
    assert (
        value["up"][-1] == ""
        and value["found"] == ["images/scan3.npy"]
        and value["count"] == "1 of 10 images"
    )
    assert value["failed"] == ["images/bad.npy"] and value["alerts"] == 0
    assert "To repeat it" in value["detail"] and "onnx-si model.onnx" in value["detail"]
    assert value["large"] == 392 and value["width"] <= 0
    assert seen["asked"] == []


@needs_browser
def test_a_browser_shows_one_result(tmp_path):
    image = np.random.default_rng(1).normal(size=(8, 8))
    result = onnx_si.test(nets.map_net(seed=1, size=8), image, sigma=1.0, threshold="minmax:0.5")
    (tmp_path / "r.html").write_text(result.to_html())
    steps = "return document.images[0].naturalWidth;"
    seen = pages.run_in_browser(tmp_path / "r.html", steps, tmp_path)
    assert seen["value"] == 392 and seen["errors"] == [] and seen["violations"] == []


@needs_browser
def test_the_browser_tells_what_a_page_asks_for(tmp_path):
    """The tests above can fail: a page that asks is seen, and so is one that breaks its policy."""
    policy = '<meta http-equiv="Content-Security-Policy" content="{}">'
    (tmp_path / "asks.html").write_text(
        policy.format("img-src *") + "<style></style><img src=http://127.0.0.1:8999/a>"
    )
    assert pages.run_in_browser(tmp_path / "asks.html", "return 1", tmp_path)["asked"] == [
        "http://127.0.0.1:8999/a"
    ]
    (tmp_path / "asks.html").write_text(
        policy.format("img-src data:") + "<style></style><img src=http://127.0.0.1:8999/a>"
    )
    seen = pages.run_in_browser(tmp_path / "asks.html", "return 1", tmp_path)
    assert seen["asked"] == [] and seen["violations"] == ["img-src"]
