"""Command lines that once ended badly, with the exit code that is right."""

import io
import json
import os
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from support.nets import Net

SIZE = 8
QUIET = ["--quiet"]


def image(folder, array=None, name="x.npy"):
    np.save(folder / name, np.random.default_rng(0).normal(size=(SIZE, SIZE)) if array is None else array)
    return str(folder / name)


def good(folder, name="m.onnx", kind=0):
    """A small model: its output is a map of classes, of one, a tensor of probabilities, or scores."""
    n = Net(0, (1, 1, SIZE, SIZE))
    inner = n.add("Relu", n.conv("x", 1, 2))
    if kind == 1:
        inner = n.add("Sigmoid", n.conv(inner, 2, 1))
    if kind == 2:
        pooled = n.add("MaxPool", inner, kernel_shape=[2, 2], strides=[2, 2])
        scales = n.const(np.array([1, 1, 2, 2], np.float32))
        inner = n.add("Resize", pooled, n.const(np.array([], np.float32)), scales, mode="nearest")
    if kind == 3:
        flat = n.add("Flatten", n.add("GlobalAveragePool", inner))
        inner = n.add("Softmax", n.add("Gemm", flat, n.const(np.eye(2, dtype=np.float32))))
    onnx.save(n.finish(n.add("Identity", inner, out="y")).proto, folder / name)
    return str(folder / name)


def proto_of(nodes, initializers=(), outputs=("y",), opset=17, inputs=None, **options):
    graph = helper.make_graph(
        list(nodes),
        "g",
        inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, SIZE, SIZE])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **options)


def with_constant(folder, *nodes, initializers=(), opset=17, **more):
    """`c` is made by some nodes; the map is the image and the smallest of it."""
    last = [helper.make_node("ReduceMin", ["c"], ["least"], keepdims=0)]
    last.append(helper.make_node("Cast", ["least"], ["float"], to=1))
    last.append(helper.make_node("Add", ["x", "float"], ["y"]))
    onnx.save(proto_of([*nodes, *last], initializers, opset=opset, **more), folder / "m.onnx")
    return [str(folder / "m.onnx"), image(folder), "--sigma", "1", "--saliency", "output:y", *QUIET]


def side_by_side(folder, count=3, size=50_000_000):
    """Constants of which each fits into what a run may hold here, and all together do not."""
    nodes = []
    for i in range(count):
        nodes.append(helper.make_node("ConstantOfShape", ["n"], [f"a{i}"], value=tensor("v", [1])))
        nodes.append(helper.make_node("ReduceMin", [f"a{i}"], [f"c{i}"], keepdims=0))
    nodes.append(helper.make_node("Max", [f"c{i}" for i in range(count)], ["c"]))
    return with_constant(folder, *nodes, initializers=[tensor("n", [size])])


def tensor(name, values, dtype=np.int64):
    return numpy_helper.from_array(np.array(values, dtype), name)


def saved(folder, proto, *options):
    onnx.save(proto, folder / "m.onnx")
    return [str(folder / "m.onnx"), image(folder), "--sigma", "1", "--saliency", "output:y", *QUIET, *options]


def node_case(op, inputs, outputs=("y",), initializers=(), opset=17, **attributes):
    def make(folder):
        node = helper.make_node(op, list(inputs), list(outputs), **attributes)
        return saved(folder, proto_of([node], [tensor(*i) for i in initializers], opset=opset))

    return make


def folded_case(op, inputs, initializers=(), opset=17, domain="", **attributes):
    def make(folder):
        node = helper.make_node(op, list(inputs), ["c"], domain=domain, **attributes)
        return with_constant(folder, node, initializers=[tensor(*i) for i in initializers], opset=opset)

    return make


def option(*more):
    def make(folder):
        return [good(folder), image(folder), "--sigma", "1", *QUIET, *more]

    return make


def external(count=1, entries=None, size=3 << 30, dims=(4,), location="big.bin"):
    """Tensors in a file beside the model, which holds a hole."""

    def make(folder):
        with (folder / "big.bin").open("wb") as stream:
            stream.truncate(size)
        tensors = []
        for i in range(count):
            one = TensorProto(name=f"w{i}", data_type=1, dims=dims, data_location=TensorProto.EXTERNAL)
            for key, value in {"location": location, **(entries or {})}.items():
                one.external_data.add(key=key, value=value)
            tensors.append(one)
        nodes = [helper.make_node("ReduceMin", [f"w{i}"], [f"s{i}"], keepdims=0) for i in range(count)]
        nodes.append(helper.make_node("Sum", ["x", *(f"s{i}" for i in range(count))], ["y"]))
        return saved(folder, proto_of(nodes, tensors))

    return make


def fifo(folder):
    os.mkfifo(folder / "m.onnx")
    return [str(folder / "m.onnx"), image(folder)]


def endless(folder):
    (folder / "m.onnx").symlink_to("/dev/zero")
    return [str(folder / "m.onnx"), image(folder)]


def endless_data(folder):
    (folder / "big.bin").unlink(missing_ok=True)
    made = external(location="link")(folder)
    (folder / "link").symlink_to("/dev/zero")
    return made


def loop(trips, count=1, body_nodes=2, **more):
    """Loops one behind the other."""

    def make(folder):
        body = helper.make_graph(
            [helper.make_node("Identity", ["c_in"], ["c_out"])]
            + [
                helper.make_node("Relu", [f"s{i}" if i else "s"], [f"s{i + 1}"])
                for i in range(body_nodes - 1)
            ],
            "body",
            [
                helper.make_tensor_value_info("i", TensorProto.INT64, []),
                helper.make_tensor_value_info("c_in", TensorProto.BOOL, []),
                helper.make_tensor_value_info("s", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
                helper.make_tensor_value_info(f"s{body_nodes - 1}", TensorProto.FLOAT, None),
            ],
        )
        nodes = [
            helper.make_node("Loop", ["n", "", f"y{i}" if i else "x"], [f"y{i + 1}"], body=body)
            for i in range(count)
        ]
        nodes.append(helper.make_node("Identity", [f"y{count}"], ["y"]))
        return saved(folder, proto_of(nodes, [trips]))

    return make


def audited(*more):
    """Options of an audit of one image."""

    def make(folder):
        output = [] if "--output" in more else ["--output", str(folder / "audit")]
        return ["audit", good(folder), image(folder), "--sigma", "1", "--jobs", "0", *output, *more]

    return make


def inspected(make):
    """A model of a case is looked at only."""
    return lambda folder: ["inspect", make(folder)[0]]


def endless_loop(folder):
    """No number of turns, and a condition that is handed on."""
    made = loop(tensor("n", 1))(folder)
    proto = onnx.load(folder / "m.onnx")
    proto.graph.node[0].input[0] = ""
    onnx.save(proto, folder / "m.onnx")
    return made


def no_input_left(folder):
    return saved(folder, proto_of([helper.make_node("Relu", ["x"], ["y"])], [tensor("x", 1, np.float32)]))


def doubling(depth):
    """Functions of which each calls the one before twice."""

    def make(folder):
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
        functions = [
            helper.make_function("f", "f0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], opsets)
        ]
        for i in range(1, depth):
            nodes = [
                helper.make_node(f"f{i - 1}", ["a"], ["c"], domain="f"),
                helper.make_node(f"f{i - 1}", ["c"], ["b"], domain="f"),
            ]
            functions.append(helper.make_function("f", f"f{i}", ["a"], ["b"], nodes, opsets))
        proto = proto_of([helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="f")], functions=functions)
        proto.opset_import.append(helper.make_opsetid("f", 1))
        return saved(folder, proto)

    return make


def function_call(folder, inputs=("x", "x"), attribute=None):
    inner = helper.make_node("Relu", ["a"], ["b"])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    function = helper.make_function("f", "f0", ["a"], ["b"], [inner], opsets)
    proto = proto_of([helper.make_node("f0", list(inputs), ["y"], domain="f")], functions=[function])
    proto.opset_import.append(helper.make_opsetid("f", 1))
    return saved(folder, proto)


def reference_attribute(folder):
    node = helper.make_node("LeakyRelu", ["x"], ["y"])
    node.attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="outside")
    return saved(folder, proto_of([node]))


def attribute_data(folder):
    stored = tensor("v", [1.0, 2.0], np.float32)
    stored.dims[0] = 5
    return with_constant(folder, helper.make_node("Constant", [], ["c"], value=stored))


def element_type(folder):
    proto = proto_of([helper.make_node("Relu", ["x"], ["y"])])
    proto.graph.input[0].type.tensor_type.elem_type = 99
    return saved(folder, proto)


def many_axes(folder):
    shape = [1] * 64
    x = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    return [*saved(folder, proto_of([helper.make_node("Relu", ["x"], ["y"])], inputs=x)), "--layout", "HW"]


def no_elements(folder):
    onnx.save(
        proto_of([helper.make_node("Slice", ["x", "i", "i"], ["y"])], [tensor("i", [2])]), folder / "m.onnx"
    )
    return ["inspect", str(folder / "m.onnx")]


def unmade_output(folder):
    return saved(folder, proto_of([helper.make_node("Relu", ["x"], ["z"])]))


def missing_capture(folder):
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "nowhere"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
    )
    node = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    return saved(folder, proto_of([node], [tensor("yes", True, np.bool_)]))


def missing_output_of_branch(folder):
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["b"])],
        "branch",
        [],
        [helper.make_tensor_value_info("nowhere", TensorProto.FLOAT, None)],
    )
    node = helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    return saved(folder, proto_of([node], [tensor("yes", True, np.bool_)]))


def scan(axis=0, directions=0, scanned=1):
    def make(folder):
        body = helper.make_graph(
            [helper.make_node("Relu", ["r"], ["t"])],
            "body",
            [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
            [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
        )
        more = {"scan_input_axes": [axis], "scan_input_directions": [directions]}
        node = helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=scanned, **more)
        return saved(folder, proto_of([node]))

    return make


def picture(folder, size, mode="L", role="image"):
    Image.new(mode, size).save(folder / "p.png", compress_level=9)
    place = str(folder / "p.png")
    if role == "image":
        return [good(folder), place, "--scale", "1"]
    return [good(folder), image(folder), "--sigma", "1", f"--{role}", place]


def archive(folder, role, shape=(11_000, 11_000), dtype=np.float64, name="a"):
    described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, described)
    place = folder / "a.npz"
    with (
        zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as out,
        out.open(f"{name}.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(header.getvalue())
        block, left = bytes(1 << 24), int(np.prod(shape)) * np.dtype(dtype).itemsize
        while left > 0:
            stream.write(block[: min(left, len(block))])
            left -= len(block)
    place = str(folder / "a.npz")
    if role == "image":
        return [good(folder), place]
    sigma = [] if role in ("covariance", "noise-from") else ["--sigma", "1"]
    return [good(folder), image(folder), *sigma, f"--{role}", place]


def covariance(array=None, **arrays):
    def make(folder):
        if array is not None:
            np.save(folder / "c.npy", array)
            return [good(folder), image(folder), "--covariance", str(folder / "c.npy")]
        np.savez_compressed(folder / "c.npz", **arrays)
        return [good(folder), image(folder), "--covariance", str(folder / "c.npz")]

    return make


def named(text, verb=None):
    """A node, op, tensor and map of a hostile name, in a model that is refused, or not."""

    def make(folder):
        nodes = [helper.make_node("Relu", ["x"], [text], name=text)]
        if verb == "refused":
            nodes = [helper.make_node("Exp", ["x"], [text], name=text)]
        proto = proto_of(nodes, outputs=(text,))
        proto.producer_name = text
        proto.metadata_props.add(key=f"onnx_si.{text[:50]}", value=text)
        onnx.save(proto, folder / "m.onnx")
        path = str(folder / "m.onnx")
        if verb == "inspect":
            return ["inspect", path]
        more = ["--json"] if verb == "json" else ["--plot", str(folder / "p.png")] if verb == "plot" else []
        return [path, image(folder), "--sigma", "1", "--saliency", "auto", *more]

    return make


def told_natively(folder):
    """onnxruntime can't load it, and would tell that on the terminal by itself, in colour."""
    more = {"min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0, "mode": "TF"}
    pool = {"ngram_counts": [0], "ngram_indexes": [0], "pool_int64s": [1]}
    node = helper.make_node("TfIdfVectorizer", ["t"], ["c"], name="\x1b[32m", **more, **pool)
    return with_constant(folder, node, initializers=[tensor("t", [1, 2, 3])])


def no_text(folder):
    """The name of a node that is not supported, and its op, hold bytes that are no text."""
    proto = proto_of([helper.make_node("Relu", ["x"], ["q"]), helper.make_node("QQQQ", ["q"], ["y"])])
    proto.graph.node[1].name, proto.graph.node[1].domain = "NNNN", "DDDD"
    proto.opset_import.append(helper.make_opsetid("DDDD", 1))
    content = proto.SerializeToString()
    for name in (b"NNNN", b"QQQQ"):
        content = content.replace(name, b"\xff\xfe\xff\xfe")
    (folder / "m.onnx").write_bytes(content)
    return ["inspect", str(folder / "m.onnx")]


NASTY = "\x1b[31mred\x07\x9b2J\u202e" + "n" * 100_000
LONG = "a" * 5_000
KNOWN = {
    # external data, files that are none
    "external without length": (external(), (0,)),
    "external of another length": (external(entries={"length": "1000000"}, size=1 << 20), (4,)),
    "external shared by many": (external(50, {"length": str(256 << 20)}, 256 << 20, (64 << 20,)), (3, 4)),
    "external on a device": (endless_data, (4,)),
    "model is a fifo": (fifo, (4,)),
    "model is endless": (endless, (4,)),
    # constants
    "ConstantOfShape": (folded_case("ConstantOfShape", ["n"], [("n", [1 << 30])]), (3,)),
    "ConstantOfShape of rank 3": (folded_case("ConstantOfShape", ["n"], [("n", [1 << 10] * 3)]), (3,)),
    "Tile": (folded_case("Tile", ["a", "n"], [("a", [1.0] * 16, np.float32), ("n", [1 << 25])]), (3,)),
    "Range": (folded_case("Range", ["a", "b", "d"], [("a", 0), ("b", 1 << 29), ("d", 1)]), (3,)),
    "constants side by side": (side_by_side, (3,)),
    "outer product": (
        folded_case("Mul", ["a", "b"], [("a", np.ones((1 << 15, 1)), np.float32), ("b", np.ones(1 << 14))]),
        (3,),
    ),
    "outer product of matrices": (
        folded_case(
            "MatMul",
            ["a", "b"],
            [("a", np.ones((1 << 15, 1)), np.float32), ("b", np.ones((1, 1 << 14)), np.float32)],
        ),
        (3,),
    ),
    "ConvTranspose": (
        folded_case(
            "ConvTranspose",
            ["a", "b"],
            [("a", np.ones((1, 1, 2, 2)), np.float32), ("b", np.ones((1, 1, 2, 2)), np.float32)],
            strides=[30_000, 30_000],
        ),
        (3,),
    ),
    "ConvTranspose of the image": (
        node_case(
            "ConvTranspose",
            ["x", "b"],
            initializers=[("b", np.ones((1, 1, 2, 2)), np.float32)],
            strides=[30_000, 30_000],
        ),
        (3,),
    ),
    "window": (folded_case("HannWindow", ["n"], [("n", 1 << 29)]), (3,)),
    "OneHot": (
        folded_case(
            "OneHot", ["i", "d", "v"], [("i", [0, 1]), ("d", 1 << 28), ("v", [0.0, 1.0], np.float32)]
        ),
        (3,),
    ),
    "Expand": (folded_case("Expand", ["a", "n"], [("a", [1.0], np.float32), ("n", [1 << 29])]), (3,)),
    "Pad": (folded_case("Pad", ["a", "n"], [("a", [1.0], np.float32), ("n", [1 << 29, 0])]), (3,)),
    "Resize": (
        folded_case(
            "Resize",
            ["a", "", "s"],
            [("a", np.ones((1, 1, 2, 2)), np.float32), ("s", [1, 1, 2e4, 2e4], np.float32)],
        ),
        (3,),
    ),
    "Resize of the image": (
        node_case("Resize", ["x", "", "s"], initializers=[("s", [1, 1, 1e4, 1e4], np.float32)]),
        (3,),
    ),
    "another window": (folded_case("BlackmanWindow", ["n"], [("n", 1 << 29)]), (3,)),
    "a window of 2^31": (folded_case("HammingWindow", ["n"], [("n", 1 << 31)]), (3,)),
    "grams": (
        folded_case(
            "TfIdfVectorizer",
            ["t"],
            [("t", [1, 2, 3])],
            max_gram_length=2**31 - 1,
            min_gram_length=1,
            max_skip_count=2**31 - 1,
            mode="TF",
            ngram_counts=[0],
            ngram_indexes=[0],
            pool_int64s=[1],
        ),
        (0, 3),
    ),
    # expansion
    "loops of a model": (loop(tensor("n", 9_000), count=20), (3,)),
    "a loop": (loop(tensor("n", 2**40)), (3,)),
    "a loop of NaN turns": (loop(tensor("n", np.nan, np.float32)), (3,)),
    "a loop of infinite turns": (loop(tensor("n", np.inf, np.float32)), (3,)),
    "a loop of no number": (loop(tensor("n", [])), (3,)),
    "a loop of text": (
        loop(helper.make_tensor("n", TensorProto.STRING, [], [b"many"])),
        (3,),
    ),
    "a loop of several numbers": (loop(tensor("n", [2, 3])), (3,)),
    "a loop without end": (endless_loop, (3,)),
    "an image that is stored": (no_input_left, (3,)),
    "doublings": (doubling(16), (3,)),
    "doublings that are allowed": (inspected(doubling(13)), (0,)),
    "a loop that is allowed": (inspected(loop(tensor("n", 3_000))), (0,)),
    # malformed
    "more actual than formal": (function_call, (3,)),
    "a reference outside": (reference_attribute, (3,)),
    "attribute data": (attribute_data, (3,)),
    "element type 99": (element_type, (3,)),
    "64 axes": (many_axes, (2, 3, 4)),
    "an output that no node makes": (unmade_output, (3,)),
    "a capture that is missing": (missing_capture, (3,)),
    "a branch's output that is missing": (missing_output_of_branch, (3,)),
    "Scan axis": (scan(axis=7), (3,)),
    "Scan axis far below": (scan(axis=-5), (3,)),
    "Scan direction": (scan(directions=3), (3,)),
    "Scan of 2**62": (scan(scanned=2**62), (3,)),
    "Scan of none": (scan(scanned=-1), (3,)),
    "Mod by next to nothing": (
        node_case("Mod", ["x", "d"], initializers=[("d", 1e-45, np.float32)], fmod=1),
        (0, 3, 5),
    ),
    "a law that there is not": (node_case("RandomUniformLike", ["x"], low=np.nan, high=np.inf), (3,)),
    "types differ": (node_case("Add", ["x", "d"], initializers=[("d", 1)]), (3,)),
    "Split": (node_case("Split", ["x"], ("y", "b", "c"), opset=11, split=[4], axis=2), (3,)),
    "Split into another number": (
        node_case("Split", ["x"], ("y", "b", "c"), opset=18, num_outputs=2, axis=2),
        (3,),
    ),
    "axis 2^63 - 1": (
        node_case("LayerNormalization", ["x", "s"], initializers=[("s", [1.0], np.float32)], axis=2**63 - 1),
        (3,),
    ),
    "a product of all pixels": (inspected(node_case("ReduceProd", ["x"])), (0,)),
    "Split, old": (node_case("Split", ["x"], ("y", "b", "c"), opset=2, split=[4], axis=2), (3,)),
    "GatherND": (node_case("GatherND", ["x", "i"], initializers=[("i", [[0]])], batch_dims=-2), (3,)),
    "GatherND of constants": (
        folded_case("GatherND", ["a", "i"], [("a", [[1.0]], np.float32), ("i", [[[0]]])], batch_dims=-2),
        (3,),
    ),
    # options
    **{
        f"long {name}": (option(f"--{name}", "n" * 5_000 + ".png"), (2, 4))
        for name in ("reference", "mask", "covariance", "noise-from", "output", "plot")
    },
    **{
        f"audit, {what} {name}": (audited(f"--{name}", value), (2,))
        for name in ("reference", "mask", "covariance", "noise-from", "sigma-from")
        for what, value in (("long", "n" * 5_000), ("missing", "missing.npy"), ("byte 0 in", "a\0b"))
        if what != "missing" or name.endswith("from")
    },
    "audit, byte 0": (audited("--output", "a\0b"), (2,)),
    "simulate, sigma-df below 1": (
        lambda folder: ["simulate", good(folder), "--trials", "1", "--jobs", "1", "--sigma-df", "-1", *QUIET],
        (2,),
    ),
    "long folder": (option("--output", "/".join(["n" * 200] * 40)), (2,)),
    "long image": (lambda folder: [good(folder), "n" * 5_000 + ".npy"], (4,)),
    "long model": (lambda folder: ["n" * 5_000, image(folder)], (4,)),
    "byte 0": (lambda folder: ["a\0b", image(folder)], (4,)),
    "byte 0 of an option": (option("--output", "a\0b"), (2,)),
    "sigma-df of 1e19": (option("--sigma-df", "9" * 19), (0, 2)),
    "sigma-df of 4300 digits": (option("--sigma-df", "9" * 4_300), (2,)),
    "sigma-df of 5000 digits": (option("--sigma-df", "9" * 5_000), (2,)),
    "occlusion": (option("--saliency", "occlusion:" + "9" * 5_000), (2,)),
    "dim": (option("--dim", "N=" + "9" * 5_000), (2,)),
    "alpha": (option("--alpha", "1e-300"), (0, 2)),
    "precision": (option("--precision", "1e-300"), (0, 2)),
    "a long value": (option("--threshold", LONG * 20), (2,)),
    "a long number": (option("--sigma", "1" * 100_000), (2,)),
    "a long choice": (option("--alternative", "x" * 100_000), (2,)),
    "target": (option("--target", "9" * 5_000), (2, 3)),
    "target of 4000 digits": (option("--target", "9" * 4_000), (2, 3)),
    "channels": (option("--channels", "9" * 4_000), (2,)),
    "seed": (option("--seed", "9" * 4_000), (0, 2)),
    "window-size": (option("--window-size", "9" * 4_000), (2,)),
    "verify": (option("--verify", "9" * 4_000), (2,)),
    "ring": (option("--hypothesis", "neighborhood", "--ring", "9" * 4_000), (2,)),
    "threshold": (option("--threshold", "top:1e-300"), (2,)),
    "unknown option": (option("--" + "x" * 100_000), (2,)),
    # images
    "picture of 169 million pixels": (lambda f: picture(f, (13_000, 13_000)), (4,)),
    "colours of 169 million pixels": (lambda f: picture(f, (13_000, 13_000), "RGB"), (4,)),
    "picture as mask": (lambda f: picture(f, (13_000, 13_000), "L", "mask"), (4,)),
    **{
        f"archive as {role}": ((lambda r: lambda f: archive(f, r))(role), (4,))
        for role in ("image", "mask", "covariance", "noise-from", "reference")
    },
    "archive of bytes as covariance": (lambda f: archive(f, "covariance", (30_000, 30_000), np.uint8), (4,)),
    "archive of bytes as mask": (lambda f: archive(f, "mask", (30_000, 30_000), np.uint8), (4,)),
    "large autocovariance": (
        lambda f: archive(f, "covariance", (10_001, 10_001), name="autocovariance"),
        (4,),
    ),
    "large autocovariance of bytes": (
        lambda f: archive(f, "covariance", (10_001, 10_001), np.uint8, name="autocovariance"),
        (4,),
    ),
    "covariance (0, 0)": (covariance(np.zeros((0, 0))), (4,)),
    "covariance of 1e308": (covariance(np.full((64, 64), 1e308)), (4,)),
    "covariance of two 1e308": (covariance(np.diag(np.full(64, 1e308))), (4,)),
    "variances of 1e308": (covariance(np.full((8, 8), 1e308)), (4,)),
    "separable of 1e308": (covariance(H=np.diag(np.full(8, 1e308)), W=np.diag(np.full(8, 1e308))), (4,)),
    "separable (0, 0)": (covariance(H=np.zeros((0, 0))), (4,)),
    "variance 1e308": (covariance(variance=np.array(1e308), H=np.eye(8) * 1e10), (4,)),
    "autocovariance of 1e308": (covariance(autocovariance=np.full((3, 3), 1e308)), (4,)),
    "autocovariance of nothing": (covariance(autocovariance=np.zeros((0, 0))), (4,)),
    "covariance of 1e-299": (covariance(np.full((8, 8), 1e-299)), (4,)),
    "full covariance of 1e-299": (covariance(np.eye(64) * 1e-299), (4,)),
    "image of 1e300": (lambda f: [good(f), image(f, np.full((SIZE, SIZE), 1e300)), "--sigma", "1"], (4,)),
    "image of 5e-324": (
        lambda f: [good(f), image(f, np.full((SIZE, SIZE), 5e-324)), "--sigma", "1"],
        (0, 3, 5),
    ),
    "an output without elements": (no_elements, (0,)),
    "pixel of 4e26": (
        lambda f: [good(f), image(f, np.pad(np.array([[4e26]]), ((3, 4), (3, 4)))), "--sigma", "1"],
        (3, 4),
    ),
    "sigma 1e-100": (lambda f: [good(f), image(f), "--sigma", "1e-100"], (2, 3, 4)),
    "a scale of next to nothing": (
        lambda f: (
            ["simulate", good(f), "--trials", "1", "--jobs", "1", "--quiet", "--sigma", "1"]
            + ["--scale", "1e-300", "--std", "1e308"]
        ),
        (2, 3, 4, 5),
    ),
    # names
    **{
        f"names, {verb}": (named(NASTY, verb), codes)
        for verb, codes in (
            ("refused", (0, 2, 3)),
            ("inspect", (0,)),
            ("json", (0, 2, 3, 5)),
            ("plot", (0, 2, 3, 5)),
        )
    },
    "a name that is no UTF-8": (no_text, (0, 3)),
    "words of onnxruntime": (told_natively, (0,)),
    "file name": (lambda folder: [str(folder / "\x1b[31m.onnx"), image(folder)], (4,)),
    "metadata": (
        lambda folder: (
            good(folder),
            _metadata(folder, "onnx_si.noise_std", "1" * 100_000 + "\x1b[0m"),
            [str(folder / "m.onnx"), image(folder)],
        )[-1],
        (2,),
    ),
}


def _metadata(folder, key, value):
    proto = onnx.load(folder / "m.onnx")
    proto.metadata_props.add(key=key, value=value)
    onnx.save(proto, folder / "m.onnx")


if __name__ == "__main__":
    print(json.dumps(sorted(KNOWN)))
