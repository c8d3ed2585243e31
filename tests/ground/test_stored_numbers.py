"""Pictures of every number of bits: the numbers that the file stores, as written here, or a refusal."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from onnx_si.errors import InputError
from onnx_si.ground.files import read_image
from onnx_si.ground.readers import How

FORMATS = {"u": 1, "i": 2, "f": 3}
BLACK_IS_ZERO, RGB, CMYK = 1, 2, 5


def packed(rows, bits):
    """Rows of whole numbers, most significant bit first, each row from a new byte on."""
    texts = ("".join(format(value, f"0{bits}b") for value in row) for row in rows.reshape(len(rows), -1))
    return [
        int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big") for text in texts
    ]


def png(array, bits, interlaced=False):
    """A grey PNG; in seven passes if interlaced."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    parts = [array[y::down, x::across] for y, x, down, across in passes] if interlaced else [array]
    raw = b"".join(b"\0" + row for part in parts if part.size for row in packed(part, bits))
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], bits, 0, 0, 0, int(interlaced))
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def page(array, bits, *, order="<", kind=BLACK_IS_ZERO, extra=(), at=8):
    """A directory of a TIFF at a place, its strip behind it; `extra` says what samples beyond colour are."""
    height, width, samples = *array.shape[:2], array.shape[2] if array.ndim == 3 else 1
    whole = bits % 8 == 0
    kinds = array.dtype.kind
    strip = (
        array.astype(np.dtype(f"{kinds}{bits // 8}").newbyteorder(order)).tobytes()
        if whole
        else b"".join(packed(array, bits))
    )
    tags = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        262: (3, [kind]),
        273: (4, [0]),
        277: (3, [samples]),
        278: (4, [height]),
        279: (4, [len(strip)]),
        338: (3, list(extra)),
        339: (3, [FORMATS[kinds]] * samples),
    }
    tags = {tag: entry for tag, entry in tags.items() if entry[1]}
    behind = at + 2 + 12 * len(tags) + 4
    held = {tag: struct.pack(f"{order}{len(v)}{'H' if t == 3 else 'I'}", *v) for tag, (t, v) in tags.items()}
    long = {tag: content for tag, content in held.items() if len(content) > 4}
    held[273] = struct.pack(f"{order}I", behind + sum(map(len, long.values())))
    entries, place = b"", behind
    for tag, (number, values) in tags.items():
        entries += struct.pack(f"{order}HHI", tag, number, len(values))
        entries += struct.pack(f"{order}I", place) if tag in long else held[tag].ljust(4, b"\0")
        place += len(held[tag]) if tag in long else 0
    content = b"".join(long.values()) + strip
    return struct.pack(f"{order}H", len(tags)) + entries, content


def tiff(*pages, order="<", **options):
    """A TIFF of pages, each an array and its bits."""
    made, at = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8), 8
    for number, (array, bits) in enumerate(pages, 1):
        entries, content = page(array, bits, order=order, at=at, **options)
        at += len(entries) + 4 + len(content)
        made += entries + struct.pack(f"{order}I", at if number < len(pages) else 0) + content
    return made


def whole_numbers(bits, *more, kind="u"):
    low, high = (0, 2**bits) if kind == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    values = np.random.default_rng(bits).integers(low, high, (9, 11, *more))
    values.flat[:2] = low, high - 1
    return values.astype(f"{kind}8")


def reads(tmp_path, name, content, how=None):
    (tmp_path / name).write_bytes(content)
    return read_image(tmp_path / name, how=how or How())


def refused(tmp_path, name, content, words, how=None):
    with pytest.raises(InputError, match=words):
        reads(tmp_path, name, content, how)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_grey_png_gives_what_it_stores(tmp_path, bits, interlaced):
    """Pillow multiplies 2 bits by 85 and 4 bits by 17: noise of a stated size would be another."""
    values = whole_numbers(bits)
    found = reads(tmp_path, "a.png", png(values, bits, interlaced))
    np.testing.assert_array_equal(found.astype(int), values)


@pytest.mark.parametrize(
    ("bits", "kind", "order"),
    [(bits, "u", "<") for bits in (1, 2, 4, 8, 16, 32)]
    + [(bits, "u", ">") for bits in (1, 2, 4, 8, 16)]
    + [(bits, "i", order) for bits in (8, 16, 32) for order in "<>"],
)
def test_a_grey_tiff_gives_what_it_stores(tmp_path, bits, kind, order):
    """Pillow takes 8 bits with a sign for such without, and 32 bits without for such with one."""
    values = whole_numbers(bits, kind=kind)
    found = reads(tmp_path, "a.tif", tiff((values, bits), order=order))
    np.testing.assert_array_equal(found.astype(np.int64), values)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_tiff_in_which_zero_is_white_is_refused(tmp_path, bits):
    """Pillow inverts 1 to 8 bits, and leaves 16 as they are, and says neither."""
    refused(tmp_path, "a.tif", tiff((whole_numbers(bits), bits), kind=0), "zero is white")


@pytest.mark.parametrize(("meaning", "samples", "kind"), [(0, 4, RGB), (1, 4, RGB), (0, 2, BLACK_IS_ZERO)])
@pytest.mark.parametrize("how", [How(), How(transparency="drop")])
def test_a_tiff_of_values_that_would_be_left_out_or_divided_is_refused(tmp_path, meaning, samples, kind, how):
    """A fourth channel of any meaning (0), and colours that were multiplied by transparency (1)."""
    content = tiff((whole_numbers(8, samples), 8), kind=kind, extra=(meaning,))
    refused(tmp_path, "a.tif", content, f"{samples} values a pixel", how)


def test_plain_transparency_of_a_tiff_is_dropped(tmp_path):
    values = whole_numbers(8, 4)
    found = reads(tmp_path, "a.tif", tiff((values, 8), kind=RGB, extra=(2,)), How(transparency="drop"))
    np.testing.assert_array_equal(found, values[..., :3])


def test_cmyk_of_16_bits_is_refused_not_cut_down(tmp_path):
    refused(
        tmp_path,
        "a.tif",
        tiff((whole_numbers(16, 4), 16), kind=CMYK),
        "more than 8 bits",
        How(colours="rgb"),
    )


def test_each_page_is_looked_at_by_itself(tmp_path):
    coarse, fine = whole_numbers(4), whole_numbers(8)
    content = tiff((fine, 8), (coarse, 4))
    np.testing.assert_array_equal(reads(tmp_path, "a.tif", content, How(page="1")), fine)
    np.testing.assert_array_equal(reads(tmp_path, "a.tif", content, How(page="2")), coarse)
    both = reads(tmp_path, "a.tif", content, How(page="all"))
    np.testing.assert_array_equal(both, np.stack([fine, coarse]))
    colours = tiff((whole_numbers(8, 3), 8), (whole_numbers(16, 3), 16), kind=RGB)
    for chosen in ("2", "all"):
        refused(tmp_path, "b.tif", colours, "more than 8 bits", How(page=chosen))


def test_a_transparent_grey_of_a_few_bits_is_what_it_stores(tmp_path):
    values = whole_numbers(4)
    start, end = png(values, 4).split(b"\0\0\0\0IEND", 1)
    body = b"tRNS" + struct.pack(">H", 5)
    head, rest = start[:33], start[33:]  # signature and IHDR, then the pixels
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    content = head + chunk + rest + b"\0\0\0\0IEND" + end
    found = reads(tmp_path, "a.png", content, How(transparency="drop"))
    np.testing.assert_array_equal(found, values)


def test_the_writer_of_this_file_agrees_with_pillow(tmp_path):
    values = whole_numbers(8, 3)
    (tmp_path / "a.tif").write_bytes(tiff((values, 8), kind=RGB))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.tif")), values)
