"""Many images, one verdict: configuration, rows, gates, tables."""

import csv
import json
import os
import xml.etree.ElementTree as ElementTree

import jsonschema
import numpy as np
import pytest
from scipy import stats
from support import audits, nets

import onnx_si
from onnx_si.auditing.gates import GATES, judge, limits_of
from onnx_si.auditing.images import entries
from onnx_si.auditing.running import run_audit
from onnx_si.auditing.summary import adjust, fisher, simes, summarise
from onnx_si.auditing.warned import told
from onnx_si.auditing.wish import Faults, read_wish, wish_of
from onnx_si.cli.main import main
from onnx_si.errors import InputError, UsageError
from onnx_si.report.documents import AUDIT, AUDIT_ROW, RESULT


@pytest.fixture
def place(tmp_path):
    return audits.folder_of(tmp_path / "data")


# ------------------------------------------------------------------------------------ configuration


def test_every_fault_is_told_at_once_with_its_line(place):
    (place / "audit.toml").write_text(
        'model = "nothere.onnx"\nimages = 5\nimagse = "x"\nrate = 2\n\n[test]\nsigma = -1\ntreshold = 0.5\n'
        "alpha = 0.01\n\n[gates]\nmax_failed = -1\nmin_guarantee = 'good'\nmax_reject = 0.1\n"
    )
    with pytest.raises(Faults) as caught:
        read_wish(place / "audit.toml")
    told = "\n".join(caught.value.faults)
    for part in (
        "line 2: images = 5",
        "line 3: imagse: there is no such key; did you mean images?",
        "line 4: rate = 2",
        "line 8: test.treshold: there is no such option; did you mean threshold?",
        "line 12: gates.max_failed = -1",
        "line 13: gates.min_guarantee = 'good'",
        "line 14: gates.max_reject: there is no such gate; did you mean max_rejected?",
        "nothere.onnx is no file",
    ):
        assert part in told, part
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("content", ["model = ", "\x00", "a = 1\na = 2"])
def test_what_is_no_toml_is_told(tmp_path, content):
    (tmp_path / "a.toml").write_text(content)
    with pytest.raises(UsageError, match="no TOML"):
        read_wish(tmp_path / "a.toml")


def test_init_writes_a_configuration_that_runs(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    assert main(["audit", "--init", "model.onnx", "images"]) == 0
    text = capsys.readouterr().out
    chosen = text.replace("# sigma = 1.0", "sigma = 1.0").replace("# pictures = true", "pictures = false")
    (place / "audit.toml").write_text(chosen)
    assert main(["audit", "audit.toml", "--jobs", "0"]) == 0
    assert (place / "audit" / "summary.json").is_file()
    for gate in GATES:
        assert f"# {gate} = " in text


def test_init_writes_what_it_is_given(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    how = ["--sigma", "2", "--threshold", "minmax:0.5", "--channels", "0", "--rate", "0.1"]
    assert main(["audit", "--init", "model.onnx", "images", *how]) == 0
    (place / "audit.toml").write_text(capsys.readouterr().out)
    found = read_wish(place / "audit.toml")
    assert dict(found.options) == {"sigma": 2.0, "threshold": "minmax:0.5", "channels": [0]}
    assert found.rate == 0.1


def test_a_dry_run_needs_no_folder(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    before = sorted(place.iterdir())
    asked = ["audit", "model.onnx", "images", "--sigma", "1"]
    assert main([*asked, "--dry-run"]) == 0
    assert "not said yet: --output DIR" in capsys.readouterr().out and sorted(place.iterdir()) == before
    assert main(asked) == 2
    assert "--output DIR is missing" in capsys.readouterr().err


def test_each_reason_for_which_images_failed_is_told(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    (place / "images" / "bad.npy").write_bytes(b"nothing")
    for size in range(9, 15):
        np.save(place / "images" / f"size{size}.npy", np.zeros((size, size)))
    main(["audit", "model.onnx", "images", "--sigma", "1", "--output", "out", "--jobs", "0", "--no-pictures"])
    said = capsys.readouterr().out
    assert said.count("1 of them: ") == 5 and "and 2 other reasons; results.csv has all" in said


def test_every_commented_example_is_valid(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    main(["audit", "--init", "model.onnx", "list.csv"])
    text = capsys.readouterr().out
    head, _, gates = text.partition("[gates]\n")
    shown = "\n".join(line.removeprefix("# ") for line in gates.splitlines() if " = " in line)
    (place / "audit.toml").write_text(f"{head}[gates]\n{shown}\n")
    assert len(read_wish(place / "audit.toml").gates) == len(GATES)


@pytest.mark.parametrize(
    "more",
    [["--reference", "a.npy"], ["--noise-from", "a.npy", "b.npy"], ["--rate", "0.1"], ["--no-pictures"]],
)
def test_nothing_is_said_beside_a_configuration(place, capsys, monkeypatch, more):
    monkeypatch.chdir(place)
    assert main(["audit", "audit.toml", *more]) == 2
    assert f"{more[0]}: audit.toml says what is audited; write it there" in capsys.readouterr().err


def test_one_reference_for_all_images(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    asked = ["audit", "model.onnx", "images", "--output", "out"]
    assert main([*asked, "--reference", "images/scan0.npy", "--reference", "images/scan1.npy"]) == 2
    assert "give one file for all images; a manifest has a column for more" in capsys.readouterr().err
    assert not (place / "out").exists()


def test_dry_run_writes_nothing(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    assert main(["audit", "model.onnx", "images", "--output", "out", "--dry-run", "--sigma", "1"]) == 0
    said = capsys.readouterr().out
    assert "images     6" in said and "exact" in said and "p-value" in said and not (place / "out").exists()


# ------------------------------------------------------------------------------------ images


def test_files_folders_and_patterns_each_once(place):
    wish = wish_of(
        {"model": "model.onnx", "images": ["images/scan3.npy", "images", "images/*1.npy"]},
        base=place,
        where="test",
    )
    names = [entry.image.rpartition("/")[2] for entry in entries(wish)]
    assert names == [f"scan{i}.npy" for i in (3, 0, 1, 2, 4, 5)]


def test_a_manifest_with_a_faulty_row_is_a_row(place):
    (place / "list.csv").write_text(
        "image,sigma,target,group,note\nimages/scan0.npy,2.5,1,a,x\n,1,,b,y\nimages/scan1.npy,high,,b,z\n"
    )
    first, second, third = entries(audits.wish(place))
    assert first.options == {"sigma": 2.5, "target": 1} and first.columns == {"note": "x"}
    assert "no image" in second.fault and "'high' is no number" in third.fault


def test_every_column_of_a_manifest_is_an_option_of_its_row(tmp_path):
    place = audits.folder_of(tmp_path / "data", count=1)
    (place / "model.onnx").write_bytes(nets.cam_nchw(seed=1, size=8, classes=3).proto.SerializeToString())
    rng = np.random.default_rng(2)
    np.save(place / "reference.npy", rng.normal(size=(8, 8)))
    np.save(place / "mask.npy", np.pad(np.ones((6, 8)), ((2, 0), (0, 0))))
    rows = ["image,reference,mask,target,sigma", "images/scan0.npy,,,,"]
    rows += [
        f"images/scan0.npy,{given}"
        for given in ("reference.npy,,,", ",mask.npy,,", ",,2,", ",,,2.5", "reference.npy,mask.npy,1,0.5")
    ]
    (place / "list.csv").write_text("\n".join(rows) + "\n")
    asked = {"sigma": 1.0, "saliency": "cam", "threshold": "minmax:0.4", "verify": 0}
    found = list(run_audit(audits.wish(place, test=asked), place / "out", jobs=0).rows())
    own = [
        {},
        {"reference": place / "reference.npy"},
        {"mask": place / "mask.npy"},
        {"target": 2},
        {"sigma": 2.5},
        {"reference": place / "reference.npy", "mask": place / "mask.npy", "target": 1, "sigma": 0.5},
    ]
    for row, given in zip(found, own, strict=True):
        wanted = onnx_si.test(place / "model.onnx", place / "images/scan0.npy", **{**asked, **given})
        assert row["status"] == "tested", row["reason"]
        assert row["result"]["p_value"] == wanted.p_value
        assert row["result"]["region"]["pixels"] == int(wanted.region.sum())
    assert len({row["result"]["p_value"] for row in found}) == len(own)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture\na.npy\n", "no column 'image'"),
        ("image,group\na.npy\n", "number of fields"),
        ("image,note,note\na.npy,1,2\n", "column 'note' twice"),
        ("image,group\na.npy,x\na.npy,all\n", "row 2: group 'all' stands for all images"),
        ("", "no column"),
    ],
)
def test_a_manifest_that_is_none(place, text, said):
    (place / "list.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        list(entries(audits.wish(place)))


def test_no_images_at_all(place):
    (place / "list.csv").write_text("image\n")
    with pytest.raises(UsageError, match="no images"):
        list(entries(audits.wish(place)))


# ------------------------------------------------------------------------------------ rows and documents


def region_of(place, value):
    """What the model marks on a flat image."""
    model = onnx_si.load(str(place / "model.onnx"))
    (found,) = onnx_si.evaluate(model, {"x": np.full((1, 1, 8, 8), value)}).values()
    return found > 0.5


def test_rows_are_the_tests_themselves(place, tmp_path):
    (place / "images" / "bad.npy").write_bytes(b"nothing")
    flat = next(v for v in (-1e3, 0.0, 1e3) if not region_of(place, v).any())
    np.save(place / "images" / "flat.npy", np.full((8, 8), flat))
    with (place / "list.csv").open("a") as stream:
        stream.write("images/bad.npy,,\nimages/flat.npy,,\nimages/gone.npy,,\n")
    options = {"sigma": 1.0, "threshold": 0.5, "verify": 8}
    found = run_audit(audits.wish(place, test=options), tmp_path / "out", jobs=0)
    rows = list(found.rows())
    assert [row["number"] for row in rows] == list(range(9))
    jsonschema.validate(found.document, AUDIT.schema())
    model = onnx_si.load(str(place / "model.onnx"))
    tested = 0
    for row in rows:
        jsonschema.validate(row, AUDIT_ROW.schema())
        if row["status"] != "tested":
            assert row["reason"]
            continue
        jsonschema.validate(row["result"], RESULT.schema())
        alone = onnx_si.test(model, np.load(place / row["image"]), **options)
        assert row["result"]["p_value"] == alone.p_value
        assert row["result"]["search"]["seconds"] is None and row["result"]["reasons"]["search.seconds"]
        tested += 1
    assert tested >= 4
    assert [row["status"] for row in rows[6:]] == ["failed", "no_region", "failed"]
    timings = [json.loads(line) for line in (tmp_path / "out" / "timings.jsonl").read_text().splitlines()]
    assert [one["number"] for one in timings] == list(range(9))


def test_a_refused_model_gives_refused_rows_not_a_crash(place, tmp_path):
    net = nets.Net(0, (1, 1, 8, 8))
    (place / "model.onnx").write_bytes(
        net.finish(net.add("Add", net.add("Sin", "x"), net.add("Cos", "x"))).proto.SerializeToString()
    )
    how = {"sigma": 1.0, "threshold": "minmax:0.5", "verify": 0, "engine": "exact"}
    wish = audits.wish(place, gates={"max_failed": 0}, test=how)
    found = run_audit(wish, tmp_path / "out", jobs=0)
    assert {row["status"] for row in found.rows()} == {"refused"} and not found.passed


def test_pictures_are_drawn_and_named_safely(place, tmp_path):
    strange = place / "images" / "a;b <i> é.npy"
    np.save(strange, np.load(place / "images" / "scan1.npy"))
    asked = {"model": "model.onnx", "images": [f"images/{strange.name}"]}
    test = {"sigma": 1.0, "threshold": "minmax:0.5", "verify": 0}
    wish = wish_of({**asked, "test": test}, base=place, where="test")
    found = run_audit(wish, tmp_path / "out", jobs=0)
    (row,) = found.rows()
    assert row["picture"] == "pictures/000000-a-b-i.png"
    assert (tmp_path / "out" / row["picture"]).read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------ control and gates


def test_adjusted_p_values():
    """Worked by hand: 5 p-values; Benjamini-Yekutieli has the factor 1 + 1/2 + ... + 1/5."""
    values = np.array([0.01, 0.02, 0.03, 0.04, 0.5])
    np.testing.assert_allclose(adjust(values, "benjamini-hochberg"), [0.05, 0.05, 0.05, 0.05, 0.5])
    factor = sum(1 / k for k in range(1, 6))
    wanted = np.minimum(1, factor * np.array([0.05, 0.05, 0.05, 0.05, 0.5]))
    np.testing.assert_allclose(adjust(values, "benjamini-yekutieli"), wanted)
    np.testing.assert_allclose(adjust(values[::-1], "holm"), [0.5, 0.09, 0.09, 0.08, 0.05])
    assert len(adjust(np.array([]), "holm")) == 0


def test_global_tests():
    values = np.array([0.01, 0.2, 0.8])
    assert fisher(values) == pytest.approx(stats.combine_pvalues(values).pvalue)
    assert simes(values) == pytest.approx(0.03)
    assert fisher(np.array([])) is None and fisher(np.array([0.0, 0.5])) < 1e-300


def row_of(number, p_value=None, status="tested", group=None, level="exact", pixels=(), guarantee="exact"):
    result = {
        "p_value": p_value,
        "parity": {"pixels": pixels},
        "noise": {"level": level},
        "guarantee": guarantee,
    }
    return {"number": number, "status": status, "group": group, "result": result}


ROWS = [
    *(row_of(i, 1e-4, group="lesion") for i in range(4)),
    *(row_of(4 + i, 0.2 + 0.15 * i, group="empty") for i in range(5)),
    row_of(9, status="failed", group="empty"),
]


@pytest.mark.parametrize(
    ("name", "value", "passed"),
    [
        ("max_failed", 1, True),
        ("max_failed", 0, False),
        ("max_failed", 0.1, True),
        ("max_failed", 0.05, False),
        ("min_rejected", {"lesion": 1.0}, True),
        ("min_rejected", {"empty": 0.1}, False),
        ("min_rejected", 0.4, True),
        ("max_rejected", {"empty": 0.0}, True),
        ("max_rejected", {"lesion": 0.9}, False),
        ("max_rejected", {"nobody": 0.9}, False),
        ("max_parity_pixels", 0, True),
        ("min_guarantee", "exact", True),
        ("noise_known", True, True),
        ("uniform_at", {"empty": 0.05}, True),
        ("uniform_at", {"lesion": 0.05}, False),
    ],
)
def test_gates(name, value, passed):
    summary = summarise(ROWS, "benjamini-hochberg", 0.05)
    (verdict,) = judge(tuple(limits_of(name, value)), summary)
    assert verdict.passed == passed and verdict.words


def test_images_without_a_region_do_not_help_to_find_regions():
    rows = [row_of(0, 1e-9), *(row_of(i, status="no_region") for i in range(1, 4))]
    summary = summarise(rows, "benjamini-hochberg", 0.05)
    limits = (*limits_of("min_rejected", 0.5), *limits_of("max_rejected", 0.5))
    few, many = judge(limits, summary)
    assert not few.passed and few.found == 0.25 and "1 of 4 images" in few.words
    assert not many.passed and many.found == 1.0


def test_a_guarantee_that_is_not_known_is_the_weakest():
    summary = summarise([row_of(0, 0.5), row_of(1, 0.5, guarantee="hoped")], "holm", 0.05)
    (found,) = judge(tuple(limits_of("min_guarantee", "monte-carlo")), summary)
    assert not found.passed and found.found == "hoped"


def test_gates_that_look_at_each_image():
    rows = [row_of(0, 0.5, pixels=[[1, 1]]), row_of(1, 0.5, level="approximate", guarantee="monte-carlo")]
    summary = summarise(rows, "holm", 0.05)
    limits = (
        *limits_of("max_parity_pixels", 0),
        *limits_of("noise_known", True),
        *limits_of("min_guarantee", "certified"),
    )
    assert [verdict.passed for verdict in judge(limits, summary)] == [False, False, False]
    unasked = summarise([row_of(0, 0.5, pixels=None)], "holm", 0.05)
    (unknown,) = judge(tuple(limits_of("max_parity_pixels", 9)), unasked)
    assert not unknown.passed


def test_a_gate_that_does_not_hold_is_exit_code_1(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    text = (
        'model = "model.onnx"\nmanifest = "list.csv"\npictures = false\n[test]\nsigma = 1.0\n'
        'threshold = "minmax:0.5"\nverify = 0\n[gates]\nmax_failed = 0\n'
    )
    (place / "a.toml").write_text(text)
    assert main(["audit", "a.toml", "--jobs", "0"]) == 0
    assert "the one gate holds" in capsys.readouterr().out
    (place / "b.toml").write_text(text + "min_rejected = 1.0\n")
    assert main(["audit", "b.toml", "--jobs", "0", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["passed"] and document["gates"][1]["allowed"] == 1.0


# ------------------------------------------------------------------------------------ tables


def test_tables_hold_every_row(place, tmp_path):
    found = run_audit(audits.wish(place, gates={"min_rejected": 1.0}), tmp_path / "out", jobs=0)
    with (tmp_path / "out" / "results.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    for line, row in zip(table, found.rows(), strict=True):
        assert line["ward"] == row["columns"]["ward"] and line["status"] == row["status"]
        if row["status"] == "tested":
            assert float(line["p_value"]) == row["result"]["p_value"]
    suite = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    assert int(suite.get("tests")) == 7 and int(suite.get("failures")) == 1
    assert len(suite.findall(".//testcase")) == 7 and len(suite.findall(".//failure")) == 1


TOTALS = {"name", "tests", "failures", "errors"}
JUNIT = {  # by Jenkins' schema junit-10: what must be there, what may be, and what stands inside
    "testsuites": (set(), TOTALS, {"testsuite"}),
    "testsuite": (TOTALS, {*TOTALS, "skipped"}, {"testcase"}),
    "testcase": ({"name"}, {"name", "classname"}, {"skipped", "error", "failure", "system-out"}),
    "skipped": (set(), {"message"}, set()),
    "error": (set(), {"message"}, set()),
    "failure": (set(), {"message"}, set()),
    "system-out": (set(), set(), set()),
}


def test_junit_is_what_pipelines_take(place, tmp_path):
    (place / "images" / "bad.npy").write_bytes(b"nothing")
    with (place / "list.csv").open("a") as stream:
        stream.write("images/bad.npy,,\n")
    gates = {"max_failed": 0, "noise_known": True, "min_rejected": {"nobody": 0.5}}
    run_audit(audits.wish(place, gates=gates), tmp_path / "out", jobs=0)
    root = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    for element in root.iter():
        needed, allowed, inside = JUNIT[element.tag]
        assert needed <= set(element.attrib) <= allowed and {one.tag for one in element} <= inside
    suite = root[0]
    assert len({(case.get("classname"), case.get("name")) for case in suite}) == len(suite) == 10
    counted = {
        kind: len(suite.findall(f"testcase/{tag}"))
        for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    assert counted == {kind: int(suite.get(kind)) for kind in counted}
    said = [one.get("message") for one in suite.iter("failure")]
    assert said == [
        "1 of 7 images failed or were refused; allowed: at most 0 (max_failed)",
        "no image is in group 'nobody'; allowed: at least 0.5 (min_rejected)",
    ]


def test_text_from_a_manifest_is_no_formula_and_no_markup(place, tmp_path):
    text = 'image,group,note\nimages/scan1.npy,"<b>\x1b[31m&""","=1+2"\n'
    (place / "list.csv").write_text(text, encoding="utf-8")
    run_audit(audits.wish(place), tmp_path / "out", jobs=0)
    with (tmp_path / "out" / "results.csv").open(newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert line["note"] == "'=1+2"
    case = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot().find(".//testcase")
    assert case.get("classname") == 'images.<b>\\x1b[31m&"'


def test_columns_with_our_names_lose_nothing(place, tmp_path):
    """A header may be a formula, too."""
    text = "image,number,number_,status,=1+1\nimages/scan1.npy,a,b,c,d\n"
    (place / "list.csv").write_text(text, encoding="utf-8")
    run_audit(audits.wish(place), tmp_path / "out", jobs=0)
    with (tmp_path / "out" / "results.csv").open(newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert (line["number"], line["number__"], line["number_"], line["status_"]) == ("0", "a", "b", "c")
    assert line["'=1+1"] == "d" and "=1+1" not in line


STRANGE = (
    b"a\xff\xfe.npy",
    b"new\nline.npy",
    b"-x.npy",
    b"\x1b[31mred.npy",
    b"$(touch x).npy",
    b"%2e%2e.npy",
    b"[1].npy",
)


def test_names_that_are_no_text_are_tested_and_told(place, tmp_path, monkeypatch, capsys):
    content = (place / "images" / "scan1.npy").read_bytes()
    for name in STRANGE:
        (place / "images" / os.fsdecode(name)).write_bytes(content)
    monkeypatch.chdir(place)
    given = ["audit", "model.onnx", "images", "--sigma", "1", "--threshold", "minmax:0.5", "--verify", "0"]
    assert main([*given, "--output", "out", "--jobs", "0"]) == 0
    ElementTree.parse(place / "out" / "junit.xml")
    rows = [json.loads(line) for line in (place / "out" / "results.jsonl").read_bytes().splitlines()]
    assert "images/-x.npy" in {row["image"] for row in rows}
    assert {row["status"] for row in rows} == {"tested"}
    assert len({row["picture"] for row in rows}) == 6 + len(STRANGE)
    assert main([*given, "--output", "out", "--jobs", "0"]) == 0  # goes on, and finds all done
    capsys.readouterr()
    for name in ("-x.npy", "$(touch x).npy", "[1].npy"):
        assert main(["replay", "out/results.jsonl", f"--only={name}", "--quiet"]) == 0
    # a record shows what could steer a terminal as escapes: such a file is told not to be there, no more
    assert main(["replay", "out/results.jsonl", "--only", "images/\\x1b[31mred.npy"]) == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_what_a_file_says_is_no_command_to_the_terminal(place, tmp_path, capsys):
    (place / "list.csv").write_text("image,group\nimages/scan1.npy,\x1b[31mred\x07\n")
    given = [
        "audit",
        str(place / "model.onnx"),
        str(place / "list.csv"),
        "--output",
        str(tmp_path / "o\udcff"),
    ]
    assert main([*given, "--sigma", "1", "--verify", "0", "--jobs", "0", "--threshold", "minmax:0.5"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\\x1b[31mred\\x07: " in said and "o\\udcff" in said


# ------------------------------------------------------------------------------------ warnings


def row_with(number, *warnings):
    result = None if warnings == (None,) else {"warnings": list(warnings)}
    return {"image": f"i{number}.npy", "result": result}


def test_warnings_are_told_by_kind_the_worst_first():
    rows = [
        row_with(0, "pixel 3 differs", "sigma is 0.08, not 20"),
        row_with(1, "pixel 5 differs"),
        row_with(2),
        row_with(3, None),
    ]
    assert list(told(rows)) == [
        "warnings: 2 of 4 images",
        "  i0.npy: sigma is 0.08, not 20",
        "  2 images, the first i0.npy: pixel 3 differs",
    ]
    assert list(told(rows[2:])) == []
    assert list(told([row_with(0, *(f"kind {name}" for name in "abcdefghij"))]))[-1].startswith(
        "  and 2 kinds"
    )


def test_an_audit_ends_with_its_warnings(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    asked = [
        "--sigma",
        "0.001",
        "--threshold",
        "minmax:0.5",
        "--output",
        "out",
        "--jobs",
        "0",
        "--no-pictures",
    ]
    assert main(["audit", "model.onnx", "images", *asked]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("warnings: 6 of 6 images")
    assert "finest details" in lines[at + 1] and lines[at + 1].startswith("  6 images, the first images")
    assert json.loads((place / "out" / "summary.json").read_text())["groups"][0]["warned"] == 6
    with (place / "out" / "results.csv").open() as stream:
        assert all(int(row["warnings"]) >= 1 for row in csv.DictReader(stream))
