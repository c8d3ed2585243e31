"""The document, the summary and the picture of a result."""

import dataclasses
import json
import math

import numpy as np
import onnx
import pytest
from matplotlib.figure import Figure
from PIL import Image
from support import nets

import onnx_si
from onnx_si.analysis.run import refusal
from onnx_si.cli.main import main
from onnx_si.errors import NothingToTest, UnsupportedModel, UnsupportedOp, UsageError
from onnx_si.ground.intervals import Intervals
from onnx_si.ground.layout import Layout
from onnx_si.report import Estimate, to_json
from onnx_si.report.as_shown import outline
from onnx_si.report.documents import RESULT
from onnx_si.report.documents.shape import has_reason, nulls
from onnx_si.report.figures import inside, p_value_text
from onnx_si.report.html.pages import result_page
from onnx_si.report.picture import save_png
from onnx_si.report.pieces import LEFT_OPEN
from onnx_si.report.region import bounding_box, components
from onnx_si.report.text import guarantee_text, summary

RNG = np.random.default_rng(11)
IMAGE = RNG.normal(size=(8, 8))
REFERENCE = RNG.normal(size=(8, 8))


@pytest.fixture(scope="module")
def result():
    model = nets.map_net(seed=3, size=8)
    return onnx_si.test(model, IMAGE, REFERENCE, sigma=1.0, methods=("naive", "over-conditioning"))


@pytest.fixture(scope="module")
def no_region():
    model = nets.map_net(seed=3, size=8)
    with pytest.raises(NothingToTest) as caught:
        onnx_si.test(model, IMAGE, REFERENCE, sigma=1.0, threshold=1e6)
    return refusal(caught.value, model, has_reference=True, sigma=1.0, threshold=1e6)


@pytest.fixture(scope="module")
def refused():
    net = nets.Net(0, (1, 1, 8, 8))
    net.add("Erf", net.conv("x", 1, 1), out="map")
    model = net.finish("map")
    with pytest.raises(UnsupportedOp) as caught:
        onnx_si.test(model, IMAGE, sigma=1.0, engine="exact")
    return refusal(caught.value, model, has_reference=False, sigma=1.0, engine="exact")


def shape_of(value):
    """Keys at every level; lists and leaves count as one thing."""
    return {key: shape_of(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def strict(content):
    """Through JSON and back; NaN and infinities would be an error."""
    return json.loads(to_json(content))


TOP = [
    *("schema", "status", "reason", "findings", "guarantee", "p_value", "p_value_bounds", "statistic"),
    *("standard_error", "degrees_of_freedom", "alternative", "hypothesis", "estimate", "estimate_bounds"),
    *("confidence_interval", "confidence_interval_bounds"),
    *(
        "confidence_level",
        "confidence_interval_level",
        "truncation",
        "undecided",
        "fragility",
        "region",
        "saliency",
        "classes",
        "comparison",
        "noise",
        "model",
        "image",
    ),
    *("reference", "search", "parity", "config", "defaults", "warnings", "versions", "reasons"),
]


def test_the_shape_is_the_same_whatever_happened(result, no_region, refused):
    documents = [strict(outcome.to_dict()) for outcome in (result, no_region, refused)]
    assert [content["status"] for content in documents] == ["tested", "no_region", "refused"]
    shapes = []
    for content in documents:
        assert list(content) == TOP and content["schema"] == RESULT.name
        content.pop("reasons")
        shapes.append(shape_of(content))
    assert shapes[0] == shapes[1] == shapes[2]


def test_every_null_has_a_reason(result, no_region, refused):
    for outcome in (result, no_region, refused):
        content = strict(outcome.to_dict())
        assert nulls(content)
        for path in nulls(content):
            assert has_reason(content, path), path
        assert all(content["reasons"].values())


def test_values_of_a_tested_document(result):
    content = strict(result.to_dict())
    low, high = content["p_value_bounds"]
    assert 0 <= low <= content["p_value"] <= high <= 1
    assert content["p_value"] == pytest.approx(high, rel=1e-9)  # but for the rounding of the ends of S
    assert content["guarantee"] == "exact" and content["reason"] is None and content["findings"] == []
    assert content["confidence_level"] == pytest.approx(0.95)
    assert content["region"]["pixels"] == result.region.sum()
    assert content["region"]["fraction"] == result.region.mean()
    assert sum(part["pixels"] for part in content["region"]["components"]) == result.region.sum()
    assert all(part["p_value"] is None for part in content["region"]["components"])
    assert any(low <= content["statistic"] <= high for low, high in content["truncation"])
    assert content["comparison"]["naive"] is not None and content["comparison"]["bonferroni"] is None
    assert content["image"] == {"path": None, "shape": [1, 1, 8, 8]}
    assert content["reference"] == {"paths": None, "count": 1}
    assert content["parity"]["pixels"] == []
    assert content["config"]["threshold"] == "max:0.5" and content["config"]["sigma"] == 1.0


def test_config_is_enough_to_run_it_again(result):
    content = strict(result.to_dict())
    options = {key: value for key, value in content["config"].items() if value is not None}
    again = onnx_si.test(nets.map_net(seed=3, size=8), IMAGE, REFERENCE, **options)
    assert again.p_value_bounds == result.p_value_bounds
    assert again.to_dict()["config"] == result.to_dict()["config"]


def test_values_of_refusals(no_region, refused):
    content = strict(no_region.to_dict())
    assert content["region"]["pixels"] == 0 and content["region"]["fraction"] == 0.0
    told = {"method": "output:map", "target": None, "threshold": "1e+06", "coarsen": 1}
    assert content["saliency"] == told
    assert "no pixel" in content["reason"] and content["hypothesis"] == "mean" and no_region.exit_code == 5
    content = strict(refused.to_dict())
    assert content["p_value"] is None and content["guarantee"] is None and refused.exit_code == 3
    (finding,) = content["findings"]
    assert finding["op"] == "Erf" and set(finding) == {"node", "op", "opset", "reason", "advice"}


def test_refusal_of_a_model_that_could_not_be_loaded():
    content = strict(refusal(UnsupportedModel("opset 3"), None, has_reference=False).to_dict())
    assert content["status"] == "refused" and content["model"]["sha256"] is None
    assert all(has_reason(content, path) for path in nulls(content))


def test_infinities_become_null_with_a_reason(result):
    open_ended = dataclasses.replace(
        result,
        estimated=Estimate(
            value=math.inf,
            value_bounds=(0.0, math.inf),
            interval=(-math.inf, math.inf),
            interval_bounds=((-math.inf, 0), (1, math.inf)),
        ),
        truncation=Intervals.line(),
        undecided=Intervals.of([(-math.inf, 0.0)]),
    )
    content = strict(open_ended.to_dict())
    assert content["estimate"] is None and content["confidence_interval"] == [None, None]
    assert content["truncation"] == [[None, None]] and content["undecided"] == [[None, 0.0]]
    for path in (
        "estimate",
        "estimate_bounds.1",
        "confidence_interval_bounds.0.0",
        "confidence_interval_bounds.1.1",
        "confidence_interval.0",
        "confidence_interval.1",
        "truncation.0.0",
        "undecided.0.0",
    ):
        assert path in nulls(content) and has_reason(content, path)
    assert "unbounded to unbounded" in open_ended.summary()


def test_a_key_that_the_schema_does_not_have_is_a_fault():
    with pytest.raises(KeyError, match="p_valu"):
        RESULT.make({"p_valu": 0.1}, {}, "why")
    with pytest.raises(KeyError, match="pixel"):
        RESULT.make({"region": {"pixel": 1}}, {}, "why")


def test_documents_do_not_share_their_lists():
    first, second = RESULT.make({}, {}, "why"), RESULT.make({}, {}, "why")
    first["warnings"].append("x")
    first["p_value_bounds"][0] = 1
    assert second["warnings"] == [] and second["p_value_bounds"] == [None, None]


def test_numpy_values_become_plain():
    content = RESULT.make(
        {"p_value": np.float64(0.5), "truncation": np.eye(2), "statistic": np.nan}, {}, "why"
    )
    assert type(content["p_value"]) is float and content["truncation"] == [[1.0, 0.0], [0.0, 1.0]]
    assert content["statistic"] is None and content["reasons"]["statistic"] == "why"


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((0.75295, 0.75305), "0.753"),
        ((0.2, 0.2), "0.2"),
        ((0.123456789, 0.12345679), "0.123457"),
        ((0.0221046, 0.0240869), "0.024"),
        ((1.19873e-08, 1.25674e-08), "1.2e-08"),
        ((0.507992, 0.534004), "0.53"),
        ((0.1, 0.2441), "<= 0.25"),
        ((0.0, 5e-324), "<= 4.9e-324"),
        ((0.0499, 0.05), "0.05"),
        ((1e-40, 2.4e-7), "<= 2.4e-07"),
        ((0.0, 1.0), "<= 1"),
        ((0.0, 0.0), "0"),
    ],
)
def test_the_p_value_has_the_digits_that_its_bounds_share(bounds, text):
    assert p_value_text(bounds) == text
    low, high = (float(f"{end:.6g}") for end in bounds)
    shown = float(text.removeprefix("<= "))
    assert low <= shown <= high if "<" not in text else shown >= bounds[1]


def test_a_printed_p_value_never_leaves_its_printed_bounds():
    rng = np.random.default_rng(0)
    for high, width in zip(rng.uniform(size=2000), 10 ** rng.uniform(-12, 0, 2000), strict=True):
        bounds = (high * (1 - width), high)
        text = p_value_text(bounds)
        low, top = (float(f"{end:.6g}") for end in bounds)
        assert float(text[3:]) >= high if text.startswith("<= ") else low <= float(text) <= top
        assert low <= float(inside(0.5 * (bounds[0] + high), bounds, 2)) <= top


def test_summary_is_about_a_dozen_lines(result):
    lines = result.summary().splitlines()
    assert 10 <= len(lines) <= 20 and max(map(len, lines)) <= 100
    labels = [line.split()[0] for line in lines if not line.startswith(" ")]
    wanted = [
        "in",
        "p-value",
        "interval",
        "region",
        "model",
        "null",
        "statistic",
        "compare",
        "fragility",
        "noise",
    ]
    assert labels == [*wanted, "guarantee", "parity", "search"]
    assert "naive" in result.summary() and "over-conditioning" in result.summary()


def words(result, low, high, **changes):
    content = {**result.to_dict(), "p_value_bounds": [low, high], **changes}
    return " ".join(summary(content).split("in words")[1].split("p-value ")[0].split())


def test_the_last_sentence_says_how_to_read_the_p_value(result):
    assert "about 75 of 100 images" in words(result, 0.75, 0.7501)
    assert "not significant at level 0.05" in words(result, 0.75, 0.7501)
    assert "about one in 1,000 images" in words(result, 0.000999, 0.001)
    assert "at most one in 1,000 images" in words(result, 1e-9, 0.001)
    assert "fewer than one in a billion" in words(result, 0.0, 1e-12)
    assert "; significant at level 0.05." in words(result, 0.0, 0.05)
    assert "0 to 100 of 100" in words(result, 0.0, 1.0)
    assert "not decided at level 0.05" in words(result, 0.04, 0.06)
    guessed = {**result.to_dict()["noise"], "known": False, "level": "approximate"}
    assert "approximately" in words(result, 0.01, 0.01, noise=guessed)
    assert "fewer than one in a million images" in words(result, 1e-8, 1e-8, noise=guessed)
    assert "about one in 100,000,000 images" in words(result, 1e-8, 1e-8)
    assert "a difference this large; " in words(result, 0.5, 0.5, hypothesis="global", alternative="greater")
    assert "this far upwards; " in words(result, 0.5, 0.5, alternative="greater")


def test_a_p_value_beside_the_level_is_not_rounded_to_it(result):
    assert "about 5.2 of 100 images" in words(result, 0.05241, 0.05241)
    assert "about 5.004 of 100 images" in words(result, 0.05004, 0.05004)
    assert "about 4.96 of 100 images" in words(result, 0.0496, 0.0496)
    assert "about 5 of 100 images" in words(result, 0.05, 0.05)
    assert "about 5.7 of 100 images" in words(result, 0.057, 0.057)
    assert "about 99.62 of 100 images" in words(result, 0.99625, 0.99625)


def test_a_small_p_value_is_not_talked_down(result):
    """Fragility tells why a p-value may be large: of one that is small it gives no advice."""
    little = {"distance": 0.01, "information": 0.001}
    for p, advised in ((0.001, False), (0.3, True)):
        content = result.to_dict() | {"fragility": little, "p_value_bounds": [p, p], "p_value": p}
        text = " ".join(summary(content).split())
        assert ("--randomise 0.2" in text) is advised
        assert ("a small one is as good as any" in text) is not advised
    assert "changes the region" in text


def test_a_page_says_what_the_summary_says(result):
    """Warnings stand with the verdict, fragility and the level of the guarantee among the numbers."""
    content = result.to_dict()
    content["noise"] |= {"known": False, "level": "approximate"}
    content["warnings"] = ["sigma is off"]
    page = result_page(content, b"")
    assert page.index("sigma is off") < page.index("<figure>")
    assert guarantee_text("exact", "approximate") in page
    assert "<dt>fragility</dt>" in page and "of the information on the difference is left" in page


def test_the_guarantee_says_what_is_given(result):
    content = result.to_dict()
    assert "exact, given the noise: " in summary(content)
    guessed = {**content["noise"], "level": "approximate"}
    text = summary({**content, "noise": guessed})
    assert "guarantee   approximate level: noise estimated: given that noise, " in text
    assert guarantee_text("exact", "approximate") == "approximate level: noise estimated"
    assert guarantee_text("certified", "approximate") == "approximate level: noise estimated, certified"


def test_a_part_whose_search_was_stopped_has_no_p_value_in_words(result):
    content = result.to_dict()
    part = {**content["region"]["components"][0], "p_value": 1.0, "p_value_adjusted": 1.0}
    part |= {"p_value_bounds": [0.0, 1.0], "p_value_adjusted_bounds": [0.0, 1.0]}
    told = {**part, "p_value": 0.02, "p_value_bounds": [0.01, 0.02]}
    content["region"] = {**content["region"], "components": [part, told]}
    content["classes"] = [{**part, "target": 3}]
    lines = [line for line in summary(content).splitlines() if line.startswith(("component", "class"))]
    assert all("p-value not known, its search was stopped" in lines[place] for place in (0, 2))
    assert "p-value <= 0.02, Holm-adjusted not known" in lines[1]
    part |= {"p_value_bounds": [0.03, 0.0300001], "p_value_adjusted_bounds": [0.06, 0.0600002]}
    assert "p-value 0.03, Holm-adjusted 0.06" in summary(content)


def test_what_a_search_left_open_is_not_told_as_known(result):
    content = result.to_dict()
    content["fragility"] = {"distance": None, "information": None}
    content["reasons"] = {
        "fragility.distance": f"{LEFT_OPEN} where S ends: at least 0.01 standard errors away",
        "fragility.information": f"{LEFT_OPEN} how much is left: 0 to 0.5 of it",
    }
    content |= {"p_value_bounds": [0.5, 0.5], "p_value": 0.5}
    text = " ".join(summary(content).split())
    assert "at least 0.01 standard errors away" in text and "0 to 0.5 of it" in text
    assert "changes the region" not in text and "may well be noise" not in text
    assert "the search ended before it was known how much the selection leaves" in text


def test_warnings_may_have_been_told_before(result):
    content = {**result.to_dict(), "warnings": ["something to act on"]}
    assert "something to act on" in summary(content)
    assert "something to act on" not in summary(content, warnings=False)


def test_components_touch_by_faces_and_come_by_size():
    region = np.zeros((5, 6), bool)
    region[0, 0] = region[1, 1] = True
    region[3:5, 2:5] = True
    found = components(region)
    assert [part.pixels for part in found] == [6, 1, 1]
    assert [part.bbox for part in found] == [((3, 5), (2, 5)), ((0, 1), (0, 1)), ((1, 2), (1, 2))]
    assert bounding_box(region) == ((0, 5), (0, 5))


def test_outline_goes_round_every_pixel():
    region = np.zeros((3, 4), bool)
    region[1, 2] = True
    edges = {frozenset(edge) for edge in outline(region)}
    corners = [(1.5, 0.5), (2.5, 0.5), (2.5, 1.5), (1.5, 1.5)]
    assert edges == {frozenset(pair) for pair in zip(corners, corners[1:] + corners[:1], strict=True)}
    assert len(list(outline(np.ones((3, 4), bool)))) == 14


def test_plot_writes_a_png(result, tmp_path):
    result.plot(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300


def test_plot_is_the_same_every_time(result, tmp_path):
    result.plot(tmp_path / "a.png")
    result.plot(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_plot_only_to_a_png_that_can_be_written(result, tmp_path):
    with pytest.raises(UsageError, match=r"\.png"):
        result.plot(tmp_path / "a.pdf")
    with pytest.raises(UsageError, match="can't be written"):
        result.plot(tmp_path / "missing" / "a.png")


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("NCW", (1, 1, 30)),
        ("NWC", (1, 30, 2)),
        ("NCHW", (1, 3, 9, 7)),
        ("NHWC", (1, 9, 7, 2)),
        ("NDHWC", (1, 4, 9, 7, 1)),
    ],
)
def test_every_kind_of_image_can_be_drawn(tmp_path, axes, shape):
    layout = Layout(axes, "")
    space = layout.spatial_shape(shape)
    region = np.zeros(space, bool)
    region[tuple(slice(1, 3) for _ in space)] = True
    save_png(
        tmp_path / "a.png", RNG.normal(size=shape), layout, RNG.normal(size=space), region, "title", "below"
    )
    assert (tmp_path / "a.png").stat().st_size > 2000


def test_a_volume_is_drawn_as_three_slices_through_the_region(monkeypatch, tmp_path):
    values, heat = RNG.normal(size=(1, 1, 5, 6, 7)), RNG.normal(size=(5, 6, 7))
    region = np.zeros((5, 6, 7), bool)
    region[3, 1:3, 4] = region[1, 2, 6] = True
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    save_png(tmp_path / "a.png", values, Layout("NCDHW", ""), heat, region, "title", "below", (2.0, 1.0, 0.5))
    panels = [axes for axes in drawn[0].axes if axes.get_title()]
    cuts = [np.s_[3], np.s_[:, 2], np.s_[:, :, 4]]
    for panel, cut in zip(panels, [*cuts, *cuts], strict=True):
        source = heat if "saliency" in panel.get_title() else values[0, 0]
        np.testing.assert_array_equal(panel.images[0].get_array(), source[cut])
        edges = panel.collections[0].get_segments()
        assert len(edges) == sum(
            np.abs(np.diff(np.pad(region[cut], 1).astype(int), axis=a)).sum() for a in (0, 1)
        )
    assert [panel.get_title() for panel in panels[:3]] == [
        "image, slice 3",
        "image, row 2",
        "image, column 4",
    ]
    assert [panel.get_aspect() for panel in panels[:3]] == [2.0, 4.0, 2.0]


def test_a_flat_colour_image_can_be_drawn(tmp_path):
    region = np.eye(4, dtype=bool)
    save_png(
        tmp_path / "a.png",
        np.zeros((1, 3, 4, 4)),
        Layout("NCHW", ""),
        np.zeros((4, 4)),
        region,
        "title",
        "below",
    )
    assert (tmp_path / "a.png").stat().st_size > 2000


def test_without_a_region_there_is_one_reason_and_what_is_known(tmp_path, capsys):
    onnx.save(nets.map_net(seed=3, size=8).proto, tmp_path / "m.onnx")
    np.save(tmp_path / "a.npy", IMAGE)
    files = [str(tmp_path / "m.onnx"), str(tmp_path / "a.npy")]
    assert main([*files, "--sigma", "2", "--threshold", "1e6", "--json", "--quiet"]) == 5
    content = json.loads(capsys.readouterr().out)
    assert content["image"]["shape"] == [1, 1, 8, 8]
    assert (content["noise"]["std"], content["noise"]["source"]) == (2.0, "given")
    assert len(content["reasons"]) <= 3 and "see `reason`" in content["reasons"]["*"]
