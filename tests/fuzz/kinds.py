"""Hostile command lines by kinds: each function makes one of a seed, with the files that it names."""

import contextlib
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .bending import bent
from .known import SIZE, good, image, proto_of

NAMES = ("y", "\x1b[2J", "n" * 5_000, "\x9b\u202e\u2028", "a\nb", "", "x", "%s{0}", "../..", "ü")
NUMBERS = (
    "0",
    "-1",
    "1e-300",
    "1e308",
    "nan",
    "inf",
    "-inf",
    "1e19",
    "9" * 5_000,
    "",
    "x",
    "0.5",
    "2",
    "\x1b[m",
    "\u0661",
)
FILES = (
    "n" * 300,
    "/dev/zero",
    "/dev/null",
    "/",
    ".",
    "missing.npy",
    "missing.png",
    "a\0b",
    "x" * 5_000,
    "x.npy",
    "m.onnx",
)
PLAIN = ["--sigma", "1", "--quiet"]


def nodes(seed, folder):
    """One op, bent."""
    rng = random.Random(seed)
    onnx.save(bent(seed)[1], folder / "m.onnx")
    model = str(folder / "m.onnx")
    if rng.random() < 0.5:
        return ["inspect", model]
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(1, 6)))
    options = ["--hypothesis", "background", "--threshold", rng.choice(("0", "max:0.5", "top:0.3"))]
    return [model, str(folder / "x.npy"), *PLAIN, *options, "--saliency", rng.choice(("output:y0", "auto"))]


def _usual(rng, usual, *strange):
    """Mostly what is usual: a case with one fault gets further than one with ten."""
    return usual if rng.random() < 0.85 else rng.choice(strange)


def _body(rng, depth, op="If"):
    """A graph inside a node, which mostly fits."""
    read = "s" if op != "If" else "x"
    inner = [
        helper.make_node(
            _usual(rng, "Relu", "Neg", "Exp", "NoSuchOp"), [_usual(rng, read, "nowhere", "c", "x")], ["b"]
        )
    ]
    if depth and rng.random() < 0.6:
        inner += [_control(rng, depth - 1, "d", "b"), helper.make_node("Identity", ["d"], ["e"])]
    last = inner[-1].output[0]
    given = {"If": (), "Loop": (("i", 7), ("k", 9), ("s", 1)), "Scan": (("s", 1),)}[op]
    values = [
        helper.make_tensor_value_info(name, _usual(rng, kind, 1, 7, 99, 0), None) for name, kind in given
    ]
    made = ("k", last) if op == "Loop" else (last,)
    outputs = [
        helper.make_tensor_value_info(_usual(rng, name, "nowhere", "x", "c"), TensorProto.FLOAT, None)
        for name in made
    ]
    for part in (values, outputs):
        if part and rng.random() < 0.07:
            part.append(part[0]) if rng.random() < 0.5 else part.pop()
    return helper.make_graph(
        inner, "inside", values, outputs, [_tensor(rng, "q")] if rng.random() < 0.2 else []
    )


def _tensor(rng, name):
    dtype = {"n": np.int64, "c": np.bool_}.get(name, np.float32)
    value = (
        _usual(rng, 2, 0, 1, -5, 2**40, -(2**63), 500)
        if name == "n"
        else _usual(rng, 1, 0, np.nan, np.inf, 1e30)
    )
    with np.errstate(all="ignore"):
        array = np.array(value).astype(_usual(rng, dtype, np.float32, np.int64, np.float64, np.int32))
    array = _usual(rng, array, np.zeros(0, dtype), np.ones(3, dtype))
    made = numpy_helper.from_array(np.asarray(array), name)
    if rng.random() < 0.03:
        made.dims.append(rng.choice((0, 2, 2**40, -1)))
    if rng.random() < 0.03:
        made.data_type = rng.choice((0, 8, 99))
    return made


def _control(rng, depth, output, state="x"):
    op = rng.choice(("If", "Loop", "Scan"))
    outputs = [output, *(["more"] if rng.random() < 0.05 else [])]
    if op == "If":
        inputs = [_usual(rng, "c", "x", "n", "", "nowhere")]
        return helper.make_node(
            op, inputs, outputs, then_branch=_body(rng, depth), else_branch=_body(rng, depth)
        )
    inputs = (
        [_usual(rng, "n", "", "c", "x", "f"), _usual(rng, "c", "", "n", "f"), state]
        if op == "Loop"
        else [state]
    )
    if rng.random() < 0.07:
        inputs.append("x") if rng.random() < 0.5 else inputs.pop()
    more = {} if op == "Loop" else {"num_scan_inputs": _usual(rng, 1, 0, 2, -1, 2**62)}
    if op == "Scan" and rng.random() < 0.5:
        more["scan_input_axes"] = [_usual(rng, 0, 1, -1, 9, -9) for _ in range(_usual(rng, 1, 2))]
        more["scan_output_directions"] = [_usual(rng, 0, 1, 2)]
    return helper.make_node(op, inputs, outputs, body=_body(rng, depth, op), **more)


def structures(seed, folder):
    """Subgraphs, functions, names and declarations that don't fit each other."""
    rng = random.Random(seed)
    name = _usual(rng, "q", *NAMES)
    op = _usual(rng, rng.choice(("Relu", "f0")), "Exp", "NoSuchOp")
    chain = [helper.make_node(op, ["x"], [name], name=rng.choice(NAMES), domain="f" if op == "f0" else "")]
    if rng.random() < 0.1:
        chain[0].input.extend(["x"] * rng.randrange(3))
    last = _control(rng, rng.choice((0, 0, 1, 2, 12)), "y", name)
    chain.append(
        last
        if rng.random() < 0.8
        else helper.make_node("Add", [name, _usual(rng, "f", "c", "n", "nowhere")], ["y"])
    )
    stored = [_tensor(rng, stored) for stored in ("c", "n", "f")]
    proto = proto_of(
        chain, stored, (_usual(rng, "y", name, "nowhere"),), opset=_usual(rng, 17, 1, 6, 7, 11, 13, 21)
    )
    inner = helper.make_node(_usual(rng, "Relu", "LeakyRelu", "f0", "f1"), ["a"], ["b"])
    if inner.op_type == "LeakyRelu":
        inner.attribute.add(
            name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name=rng.choice(("alpha", "z"))
        )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    for i in range(_usual(rng, 1, 0, 2)):
        inner.domain = "f" if inner.op_type.startswith("f") else ""
        proto.functions.append(
            helper.make_function("f", f"f{i}", ["a"], ["b"], [inner], opsets, ["alpha"][: rng.randrange(2)])
        )
    proto.opset_import.append(helper.make_opsetid("f", 1))
    shape = _usual(
        rng,
        [1, 1, SIZE, SIZE],
        ["n", 1, "h", "w"],
        [],
        [0],
        [1, 1, 0, 8],
        [1] * 40,
        [2**40, 1],
        [1, -1, 8, 8],
        None,
    )
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", _usual(rng, 1, 7, 8, 99, 11), shape))
    if rng.random() < 0.2:
        key = rng.choice(("threshold", "noise_std", "saliency", "target", "mean", "layout", "hypothesis"))
        proto.metadata_props.add(key=f"onnx_si.{key}", value=rng.choice(NUMBERS))
    onnx.save(proto, folder / "m.onnx")
    if rng.random() < 0.4:
        return ["inspect", str(folder / "m.onnx")]
    return [
        str(folder / "m.onnx"),
        image(folder),
        *PLAIN,
        *rng.choice(([], ["--json"], ["--saliency", "output:y"])),
    ]


def _messages(message):
    """A message and all inside it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if isinstance(value, Iterable) else (value,):
                yield from _messages(inner)


def _strange(rng, field, old):
    """Another value for a field of a file."""
    if field.cpp_type == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return rng.choice((b"", b"\xff\xfe", bytes(1000), old[:-1], old + b"x"))
        return rng.choice((*NAMES, old + "x", old[:-1]))
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice((0.0, 1e30, float("nan"), float("inf"), -1.0))
    whole = (0, 1, -1, 2, 99, 7, old + 1, 2**31 - 1) + (
        (2**40, 2**63 - 1, -(2**63)) if field.cpp_type == field.CPPTYPE_INT64 else ()
    )
    return rng.choice(whole)


def fields(seed, folder):
    """A good file of which some fields hold other values, are gone, or are there twice."""
    rng = random.Random(seed)
    proto = onnx.load(good(folder, kind=rng.randrange(4)))
    for _ in range(rng.choice((1, 1, 2, 4))):
        message = rng.choice(list(_messages(proto)))
        if not message.ListFields():
            continue
        field, value = rng.choice(message.ListFields())
        several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            if rng.random() < 0.15:
                message.ClearField(field.name)
            elif several and (field.message_type is not None or rng.random() < 0.3):
                kept = list(value)
                del getattr(message, field.name)[:]
                rng.shuffle(kept)
                getattr(message, field.name).extend(kept + kept[:1] if rng.random() < 0.5 else kept[1:])
            elif several:
                getattr(message, field.name)[rng.randrange(len(value))] = _strange(rng, field, value[0])
            elif field.message_type is None:
                setattr(message, field.name, _strange(rng, field, value))
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    if rng.random() < 0.3:
        return ["inspect", str(folder / "m.onnx")]
    return [
        str(folder / "m.onnx"),
        image(folder),
        *PLAIN,
        *rng.choice(([], ["--components"], ["--saliency", "auto", "--json"])),
    ]


def flipped(seed, folder):
    """A good file with other bytes, or cut."""
    rng = random.Random(seed)
    path = folder / "m.onnx"
    good(folder)
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((0, 1, 2, 5, 20))):
        content[rng.randrange(len(content))] = rng.choice((rng.randrange(256), 0, 255, 0x1B, 0x80))
    if rng.random() < 0.4:
        del content[rng.randrange(len(content)) :]
    if rng.random() < 0.2:
        at = rng.randrange(len(content) + 1)
        content[at:at] = rng.randbytes(rng.randrange(40))
    path.write_bytes(content)
    return ["inspect", str(path)] if rng.random() < 0.4 else [str(path), image(folder), *PLAIN]


def _bytes_of_npy(rng, shape=(SIZE, SIZE)):
    stream = io.BytesIO()
    shape = _usual(rng, shape, (1, SIZE, SIZE), (64, 64), (0,), (), (2**40,), (-1, 8), (8, 8, 3), (1,) * 40)
    kind = _usual(rng, "<f8", "<f4", ">f8", "|O", "<i8", "|u1", "<c8", "<U3", "<f2", "|b1")
    header = {"descr": kind, "fortran_order": rng.random() < 0.3, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    size = int(np.prod([n for n in shape if 0 <= n < 1000]))
    drawn = np.random.default_rng(rng.randrange(99)).normal(size=min(size, 10_000))
    if drawn.size and rng.random() < 0.4:
        drawn[rng.randrange(drawn.size)] = rng.choice((0.0, 1e300, 5e-324, np.nan, np.inf, 1e30, 4e26, 1e-20))
    if len(shape) == 2 and shape[0] == shape[1] and rng.random() < 0.5:
        drawn = (np.eye(shape[0]) * rng.choice((1.0, 1e-299, 1e299, 1e308, -1.0))).ravel()
    with np.errstate(all="ignore"):
        values = drawn.astype(kind if kind[1] in "fiub" else "<f8").tobytes()
    return stream.getvalue() + _usual(rng, values, values[:10], b"", values[:-1])


def _bytes_of_png(rng):
    width, height = _usual(rng, (8, 8), (13_000, 13_000), (2**31 - 1, 1), (0, 8), (8, 7))
    depth, colour = _usual(rng, (8, 0), (16, 0), (8, 2), (8, 3), (8, 6), (1, 0), (16, 2), (7, 9))
    raw = b"".join(b"\0" + rng.randbytes(8 * depth // 8) for _ in range(8))[: _usual(rng, None, 0, 30)]

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def _bytes_of_npz(rng):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as out:
        names = ("H", "W", "C", "variance", "autocovariance", "a", "\x1b[m", "../x")
        for name in rng.sample(names, _usual(rng, 1, 0, 2, 3)):
            shape = {"variance": (), "C": (1, 1), "autocovariance": rng.choice(((3, 3), (1, 1), (9, 9)))}.get(
                name, (SIZE, SIZE)
            )
            out.writestr(f"{name}{_usual(rng, '.npy', '')}", _bytes_of_npy(rng, shape))
    return stream.getvalue()


MAKERS = {
    "npy": _bytes_of_npy,
    "npz": _bytes_of_npz,
    "png": _bytes_of_png,
    "tif": _bytes_of_png,
    "jpg": _bytes_of_npy,
}


def images(seed, folder):
    """Damaged and strange image files in each role."""
    rng = random.Random(seed)
    suffix = rng.choice(("npy", "npy", "npz", "npz", "png", "tif", "jpg"))
    content = bytearray(MAKERS[suffix](rng))
    for _ in range(rng.choice((0, 0, 0, 1))):
        content[rng.randrange(len(content))] = rng.randrange(256)
    place = folder / f"f.{suffix}"
    place.write_bytes(content)
    role = rng.choice(("image", "reference", "mask", "covariance", "noise-from"))
    noise = (
        []
        if role in ("covariance", "noise-from")
        else ["--sigma", rng.choice(("1", "1e-100", "1e100", "1e-3"))]
    )
    first = str(place) if role == "image" else image(folder)
    more = [] if role == "image" else [f"--{role}", str(place)]
    return [
        good(folder),
        first,
        *noise,
        "--quiet",
        *more,
        *rng.choice(([], ["--scale", "1"], ["--scale", "1"], ["--json"])),
    ]


_VALUES = {
    **dict.fromkeys(
        ("--sigma", "--sigma-df", "--threshold", "--ring", "--precision", "--alpha", "--randomise"), NUMBERS
    ),
    **dict.fromkeys(
        ("--seed", "--verify", "--scale", "--mean", "--std", "--channels", "--target", "--memory"), NUMBERS
    ),
    **dict.fromkeys(("--reference", "--mask", "--covariance", "--noise-from", "--output", "--plot"), FILES),
    **dict.fromkeys(
        ("--layout", "--alternative", "--method", "--resize", "--hypothesis", "--scores", "--noise-model"),
        NAMES,
    ),
    "--saliency": (
        "output:y",
        "output:\x1b",
        "occlusion:" + "9" * 5_000,
        "occlusion:0",
        "gradcam:",
        "cam",
        "auto",
        "x" * 5_000,
    ),
    "--dim": ("N=1", "=", "H=" + "9" * 5_000, "\x1b[m=3", "N=0"),
    "--threshold": ("top:1e-300", "max:1", "minmax:nan", "argmax", "top:0.99999999999999999", *NUMBERS),
}

OWN = ("x.npy", "m.onnx", "missing")  # names in the case's own folder


def lines(seed, folder):
    """Options with strange values."""
    rng = random.Random(seed)
    verb = rng.choice(("test", "test", "test", "inspect", "saliency", "simulate"))
    chosen = [
        part
        for name in rng.sample(sorted(_VALUES), rng.choice((1, 1, 1, 2, 3)))
        for part in (name, rng.choice(_VALUES[name]))
    ]
    chosen = [str(folder / part) if part.startswith(OWN) else part for part in chosen]
    chosen = [str(folder / "made") if part in (".", "/") else part for part in chosen]
    model = good(folder)
    if verb == "test":
        return [model, image(folder), "--quiet", *chosen, *([] if "--sigma" in chosen else ["--sigma", "1"])]
    if verb == "saliency":
        return ["saliency", model, "--output", str(folder / "made.onnx"), *chosen]
    return [
        verb,
        model,
        *(["--trials", "1", "--jobs", "1", "--quiet"] if verb == "simulate" else []),
        *chosen,
    ]


KINDS = [nodes, structures, fields, images, lines, flipped]
