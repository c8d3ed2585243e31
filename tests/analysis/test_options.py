"""Options: records, signatures, parsers and settled values agree; what is wrong is told in words."""

import dataclasses
import inspect
import json
import tomllib
import typing
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from support import nets

import onnx_si
from onnx_si.analysis import baselines
from onnx_si.analysis.options import FILES, METHODS, OPTIONS, AllOptions, Options, SharedOptions
from onnx_si.analysis.options.option import AUDIT, EVERYWHERE, INSPECT, SALIENCY, SIMULATE, TEST, records_of
from onnx_si.analysis.settings import Settings, settle
from onnx_si.auditing import own_options as audits
from onnx_si.choices.compared import BASELINES
from onnx_si.choices.saliency import SALIENCY_METHODS
from onnx_si.cli import arguments as parsers
from onnx_si.cli.arguments import options_of
from onnx_si.cli.audit_verb import audit_parser
from onnx_si.cli.main import main
from onnx_si.cli.options import given_options
from onnx_si.cli.table import table
from onnx_si.errors import InputError, OnnxSIError, UsageError
from onnx_si.inspection.inspector import inspect_model
from onnx_si.maps.choose import MADE_BY
from onnx_si.report import Comparison
from onnx_si.simulation.keywords import OWN

IMAGE = np.random.default_rng(4).normal(size=(8, 8))
PARSERS = {
    TEST: lambda: parsers.test_parser("0"),
    SIMULATE: parsers.simulate_parser,
    INSPECT: parsers.inspect_parser,
    SALIENCY: parsers.saliency_parser,
    AUDIT: audit_parser,
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(nets.map_net(seed=3, size=8).proto, "model.onnx")
    np.save("image.npy", IMAGE)
    np.save("reference.npy", IMAGE[::-1])
    return tmp_path


# ------------------------------------------------------------------------------------ one record each


def test_records_and_settled_values_agree():
    own = {"sigma_source", "left_open", "reasons"}
    assert {field.name for field in dataclasses.fields(Settings)} - own == set(OPTIONS)
    settled = settle(Options(), {}, has_reference=False)
    for name, option in OPTIONS.items():
        if name != "hypothesis":
            assert getattr(settled, name) == option.default, name


def test_records_and_signatures_agree():
    parameters = inspect.signature(onnx_si.test).parameters
    assert typing.get_args(parameters["options"].annotation) == (AllOptions,)
    assert set(records_of(AllOptions)) == set(OPTIONS)
    assert set(FILES) <= set(parameters)
    parameters = inspect.signature(onnx_si.simulate).parameters
    assert typing.get_args(parameters["options"].annotation) == (SharedOptions,)
    named = set(parameters) - {"model", "progress", "notice", "options"}
    assert named == (set(OWN) - set(records_of(SharedOptions))) | {"mask", "covariance"}
    for name in named & set(OWN):
        assert parameters[name].default == OWN[name].default, name
    parameters = inspect.signature(onnx_si.audit).parameters
    assert typing.get_args(parameters["options"].annotation) == (AllOptions,)
    named = set(parameters) - {"model", "images", "folder", "gates", "options"}
    assert named == set(audits.FOR_ALL) | set(audits.OWN) and set(audits.FOR_ALL) == set(FILES)
    for name, option in audits.OWN.items():
        assert parameters[name].default == option.default, name


def test_every_key_of_an_audit_s_file_has_an_example_that_is_allowed():
    for name, option in audits.KEYS.items():
        (value,) = tomllib.loads(f"x = {option.example or json.dumps(option.default)}").values()
        assert option.fault_of(value) is None, name
        assert option.fault_of(3.5) and option.fault_of([]), name


def test_a_switch_that_is_on_is_turned_off():
    parsed = audit_parser().parse(["a.toml", "--no-pictures"])
    assert given_options(parsed, audits.OWN) == {"pictures": False}
    assert "do not draw a picture" in audit_parser().format_help()


@pytest.mark.parametrize("verb", [*EVERYWHERE, AUDIT])
def test_every_record_of_a_verb_is_in_its_help(verb):
    text = " ".join(PARSERS[verb]().format_help().split())
    own = audits.OWN if verb == AUDIT else {}
    for option in {**options_of(verb), **own}.values():
        assert option.flag in text or option.once in text
        assert option.help.split()[0] in text


def test_metadata_keys_and_titles_are_each_one():
    keys = [option.metadata for option in OPTIONS.values() if option.metadata]
    assert len(keys) == len(set(keys)) == 15 and all(key.startswith("onnx_si.") for key in keys)
    assert {option.title for option in OPTIONS.values()} == {
        "what is tested",
        "the noise of the image",
        "how the image becomes the model's input",
        "how it is tested",
    }


def test_the_table_in_the_documents_is_made_from_the_records():
    document = Path(__file__).parents[2] / "docs" / "options.md"
    assert document.read_text(encoding="utf-8") == table(), "python -m onnx_si.cli.table"


@pytest.mark.parametrize("text", ["1/255", "0.00392156862745098", "2/510"])
def test_a_scale_may_be_a_fraction(text):
    kind = OPTIONS["scale"].kind
    assert kind.read(text) == kind.accept(text) == kind.accept(1 / 255) == 1 / 255
    for wrong in ("1/0", "1/", "/255", "1/2/3", "a/b"):
        with pytest.raises(ValueError):
            kind.read(wrong)


def test_every_method_has_a_p_value():
    simple = {*baselines.COMPUTED_BY, "selective"}
    assert set(METHODS) == simple


# ------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigma": "20"}, "sigma: a number, not the text '20'"),
        ({"sigma": True}, "sigma: a number, not True"),
        ({"randomise": True}, "randomise: a number, not True"),
        ({"ring": 1.5}, "ring: a whole number, not 1.5"),
        ({"seed": "1"}, "seed: a whole number, not the text '1'"),
        ({"components": 1}, "components: True or False, not 1"),
        ({"hypothesis": 3}, "hypothesis: one of mean, background, neighborhood, global, not 3"),
        ({"threshold": [1]}, r"threshold: a number or a text, not \[1\]"),
        ({"channels": 0}, "channels: whole numbers"),
        ({"channels": "0"}, "channels: whole numbers"),
        ({"mean": "1"}, "mean: numbers"),
        ({"dims": 3}, "dims: "),
        ({"methods": 3}, "methods: some of"),
        ({"memory": "much"}, "memory: a size such as 2G or 500M, not the text 'much'"),
        ({"saliency": None, "target": "cat"}, "target: a class index, predicted, or all, not the text 'cat'"),
    ],
)
def test_wrong_types_are_told_in_words(options, words):
    with pytest.raises(UsageError, match=words) as caught:
        onnx_si.test(nets.map_net(seed=3, size=8), IMAGE, **options)
    assert isinstance(caught.value, TypeError)


def test_memory_is_a_size_in_python_too():
    """As the message and the page of options say."""
    found = onnx_si.test(nets.map_net(seed=3, size=8), IMAGE, sigma=1.0, memory="2G")
    assert found.config["memory"] == 2 << 30


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ("luck",)}, "methods 'luck'; allowed are selective"),
        ({"alternative": "both"}, "alternative 'both'; allowed are two-sided"),
        ({"alpha": 2.0}, "alpha 2; it lies between 1e-15 and 1"),
        ({"verify": -1}, "verify -1; give 0 to 100000 points"),
        ({"budget_bytes": 3}, "budget_bytes 3; give at least 1048576"),
    ],
)
def test_values_that_are_not_allowed(options, words):
    with pytest.raises(UsageError, match=words):
        Options(**options)


def test_numbers_of_numpy_are_numbers():
    chosen = Options(
        sigma=np.float32(2.0), ring=np.int64(2), components=np.bool_(True), mean=np.ones(2)
    ).chosen
    assert chosen == {"sigma": 2.0, "ring": 2, "components": True, "mean": (1.0, 1.0)}
    assert type(chosen["sigma"]) is float and Options(methods="all").chosen["methods"] == METHODS


@pytest.mark.parametrize(
    ("name", "near"),
    [("treshold", "threshold"), ("method", "methods"), ("dim", "dims"), ("refrence", "reference")],
)
def test_an_unknown_option_is_told_with_the_nearest(name, near):
    with pytest.raises(UsageError, match=f"unknown option {name}; did you mean {near}") as caught:
        onnx_si.test(nets.map_net(seed=3, size=8), IMAGE, **{name: 1})
    assert isinstance(caught.value, TypeError)


def test_an_unknown_option_of_a_simulation(place):
    with pytest.raises(UsageError, match="unknown option trails; did you mean trials"):
        onnx_si.simulate("model.onnx", trails=3)
    with pytest.raises(UsageError, match="trials: a whole number, not the text '3'"):
        onnx_si.simulate("model.onnx", trials="3")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("model.onnx", "image.npy", "--treshold", "0.5"),
            "option --treshold; did you mean --threshold",
        ),
        (("model.onnx", "--treshold=0.5"), "did you mean --threshold"),
        (("saliency", "model.onnx", "--ouput", "x"), "did you mean --output"),
        (("inpect", "model.onnx"), "'inpect' is no verb, and no file; did you mean inspect"),
        (("model.onnx", "image.npy", "--ring", "2"), "--ring has no effect here: it needs hypothesis neighb"),
        (
            ("model.onnx", "image.npy", "--saliency", "output:map", "--scores", "map"),
            "--scores has no effect here: it needs a map of class scores",
        ),
        (("simulate", "model.onnx", "--ring", "2"), "--ring has no effect"),
        *(
            (("model.onnx", "image.npy", *given, *how), f"{given[0]} has no effect here")
            for given in (("--decide",), ("--precision", "0.1"), ("--verify", "10"))
            for how in (("--thin", "0.2"), ("--engine", "monte-carlo"))
        ),
        *(
            (("model.onnx", "image.npy", *given), f"{given[0]} has no effect here: it needs a")
            for given in (
                ("--page", "2"),
                ("--page", "all"),
                ("--exif",),
                ("--colours", "rgb"),
                ("--transparency", "drop"),
            )
        ),
        (("audit", "model.onnx", "image.npy", "--exif", "--output", "a", "--no-isolate"), "--exif has no"),
        (("model.onnx", "image.npy", "--quiet", "--verbose"), "--quiet and --verbose say opposite things"),
        (("simulate", "model.onnx", "--quiet", "--verbose"), "--quiet and --verbose say opposite things"),
        (("model.onnx", "image.npy", "--channels", "0,0"), "channels (0, 0); give each channel once"),
        (("model.onnx", "image.npy", "--sigma", "x"), "--sigma 'x'; give a number"),
    ],
)
def test_mistakes_on_the_command_line(place, capsys, arguments, words):
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and words in err and err.count("\n") == 1


def test_an_option_without_effect_is_an_error_in_python_too():
    model = nets.map_net(seed=3, size=8)
    with pytest.raises(UsageError, match="--ring has no effect"):
        onnx_si.test(model, IMAGE, sigma=1.0, ring=2)
    assert onnx_si.test(model, IMAGE, sigma=1.0, ring=2, hypothesis="neighborhood").config["ring"] == 2


def test_options_that_have_an_effect_are_taken(tmp_path):
    """No points at all may always be asked for, and one picture is enough for what is about pictures."""
    model = nets.map_net(seed=3, size=8)
    for how in ({"thin": 0.5}, {"engine": "monte-carlo", "draws": 19}):
        result = onnx_si.test(model, IMAGE, sigma=1.0, threshold="minmax:0.5", verify=0, **how)
        assert result.config["precision"] is None and result.config["decide"] is None
    mask = tmp_path / "mask.png"
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(mask)
    assert onnx_si.test(model, IMAGE, mask=mask, sigma=1.0, threshold="minmax:0.5", exif=True).config["exif"]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"draws": 19, "steps": 1}, ["--draws", "--steps"]),
        ({"draws": 19, "methods": ["monte-carlo"]}, []),
        ({"precision": 0.01, "time_limit": 100.0}, []),
        ({}, []),
    ],
)
def test_what_the_engine_that_auto_takes_leaves_without_effect_is_told(how, told):
    said = onnx_si.test(nets.map_net(seed=3, size=8), IMAGE, sigma=1.0, verify=0, **how).warnings
    assert [text.split()[0] for text in said if "no effect with the exact engine" in text] == told


@pytest.mark.parametrize(
    ("how", "told"),
    [({"draws": 19}, []), ({"draws": 19, "precision": 0.01, "time_limit": 9.0}, ["--precision"])],
)
def test_what_chains_leave_without_effect_is_told(how, told):
    """A limit of time is no such option: whether proven bounds are expected within it decides."""
    net = nets.Net(0, (1, 1, 8, 8))
    net.add("Conv", "x", net.const(np.ones((1, 1, 1, 1))), out="inner")
    net.add("Sin", "inner", out="map")
    result = onnx_si.test(net.finish("map"), IMAGE, sigma=1.0, threshold="minmax:0.5", verify=0, **how)
    said = [text.split()[0] for text in result.warnings if "no effect with the monte-carlo engine" in text]
    assert result.guarantee == "monte-carlo" and said == told


# ------------------------------------------------------------------------------------ one spelling, files


def test_one_spelling_on_both_sides(place, capsys):
    outs = []
    for more in (("--methods", "naive", "bonferroni"), ("--method", "naive", "--method", "bonferroni")):
        assert main(["model.onnx", "image.npy", "--sigma", "1", "--json", "--quiet", *more]) == 0
        outs.append(capsys.readouterr().out)
    assert '"naive": null' not in outs[0] and '"bonferroni": null' not in outs[0]
    for more in (("--dims", "x=3"), ("--dim", "x=3")):
        assert main(["inspect", "model.onnx", *more]) == 2
        assert "no free axis" in capsys.readouterr().err


def test_files_are_taken_where_arrays_are(place):
    model = onnx_si.load("model.onnx")
    np.save("mask.npy", np.ones((8, 8)))
    by_array = onnx_si.test(model, IMAGE, IMAGE[::-1], mask=np.ones((8, 8)), sigma=1.0)
    by_file = onnx_si.test("model.onnx", Path("image.npy"), ["reference.npy"], mask="mask.npy", sigma=1.0)
    assert by_file.p_value == by_array.p_value
    document = by_file.to_dict()
    assert document["image"]["path"] == "image.npy" and document["reference"]["paths"] == ["reference.npy"]
    assert document["config"]["mask"] == "mask.npy" and document["model"]["path"] == "model.onnx"
    assert by_array.to_dict()["image"]["path"] is None
    one = onnx_si.test(model, "image.npy", noise_from="reference.npy")
    assert one.config["noise_from"] == ["reference.npy"]
    np.save("variances.npy", np.ones((1, 1, 8, 8)))
    told = onnx_si.test(model, "image.npy", covariance="variances.npy")
    assert told.p_value == pytest.approx(onnx_si.test(model, IMAGE, sigma=1.0).p_value, abs=2e-4)


def test_load_takes_paths_bytes_and_protos(place):
    content = Path("model.onnx").read_bytes()
    proto = onnx.load("model.onnx")
    for source in ("model.onnx", Path("model.onnx"), content, bytearray(content), proto):
        model = onnx_si.load(source)
        assert model.proto.graph.node[0].op_type == proto.graph.node[0].op_type
        assert onnx_si.test(source, IMAGE, sigma=1.0).p_value == onnx_si.test(model, IMAGE, sigma=1.0).p_value
        assert onnx_si.evaluate(source, {"x": IMAGE[None, None]})["map"].size == 64
        assert onnx_si.saliency(source).graph.output and inspect_model(source).guarantee == "exact"
    assert onnx_si.load(content).sha256 == onnx_si.load("model.onnx").sha256
    assert onnx_si.simulate("model.onnx", trials=1, jobs=1).count.trials == 1
    loaded = onnx_si.load(proto)
    proto.graph.node[0].op_type = "Nothing"
    assert loaded.proto.graph.node[0].op_type != "Nothing"


@pytest.mark.parametrize("wrong", [None, 3, np.zeros(3), ["model.onnx"]])
def test_anything_else_is_no_model(wrong):
    calls = (
        onnx_si.load,
        onnx_si.saliency,
        onnx_si.simulate,
        inspect_model,
        lambda given: onnx_si.test(given, IMAGE),
        lambda given: onnx_si.evaluate(given, {"x": IMAGE}),
    )
    for call in calls:
        with pytest.raises(TypeError, match=r"model: the path of an .onnx file, its bytes, or an onnx"):
            call(wrong)


@pytest.mark.parametrize("wrong", [None, object(), [["a"]], [1, [2]]])
def test_anything_else_is_no_image(wrong):
    model = nets.map_net(seed=3, size=8)
    with pytest.raises(TypeError, match="image: an array of numbers or the path of a file"):
        onnx_si.test(model, wrong)
    with pytest.raises(OnnxSIError):
        onnx_si.test(model, IMAGE, [wrong])


def test_inputs_of_evaluate_have_names():
    with pytest.raises(TypeError, match="inputs: a value for each input by its name"):
        onnx_si.evaluate(nets.map_net(seed=3, size=8), IMAGE)


def test_a_model_in_memory_has_no_folder(place):
    proto = onnx.load("model.onnx")
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    for source in (proto, proto.SerializeToString()):
        with pytest.raises(InputError, match="no folder in memory"):
            onnx_si.load(source)
    for content in (b"", b"hello"):
        with pytest.raises(InputError, match="the model's bytes"):
            onnx_si.load(content)


def test_every_record_of_a_choice_has_its_work_attached():
    """Saliency methods and baselines stand in one place; whoever does them is asked by name."""
    assert set(MADE_BY) == set(SALIENCY_METHODS)
    assert set(baselines.COMPUTED_BY) == set(BASELINES)
    fields = {field.name for field in dataclasses.fields(Comparison)}
    assert {baseline.key for baseline in BASELINES.values()} == fields - {"reasons", "notes"}
