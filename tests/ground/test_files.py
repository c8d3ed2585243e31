"""Image files: values as they are, and one-line errors for everything else."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onnx_si.errors import InputError
from onnx_si.ground import files
from onnx_si.ground.budget import budget
from onnx_si.ground.files import SUFFIXES, read_image, told
from onnx_si.ground.readers import How


def npy_bytes(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npy_header(shape, descr="<f8", fortran=False):
    stream = io.BytesIO()
    np.lib.format.write_array_header_2_0(stream, {"descr": descr, "fortran_order": fortran, "shape": shape})
    return stream.getvalue()


def png_bytes(width, height, depth, colour, raw):
    """A PNG of any header, for what Pillow does not write."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


def refused(path, *words):
    with pytest.raises(InputError) as caught:
        read_image(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "u1", "<i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_keeps_values_type_and_order(write, dtype, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype=dtype, order=order)
    read = read_image(write("a.npy", npy_bytes(array)))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_npy_of_no_axes_and_of_no_values(write):
    assert read_image(write("a.npy", npy_bytes(np.float64(3.5)))) == 3.5
    assert read_image(write("b.npy", npy_bytes(np.empty((0, 4))))).shape == (0, 4)


def test_npy_version_2_and_suffix_in_capitals(write):
    content = npy_header((2, 2)) + np.eye(2).tobytes()
    np.testing.assert_array_equal(read_image(write("a.NPY", content)), np.eye(2))


def test_npy_claims_are_checked_before_memory_is_taken(write):
    claims = 2**27
    path = write("a.npy", npy_header((claims,)))
    tracemalloc.start()
    try:
        refused(path, "truncated", "0 follow")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("shape", [(2**45,), (2**62, 4), (-1, 4), (10**30,), (0, 10**30)])
def test_npy_of_impossible_size(write, shape):
    refused(write("a.npy", npy_header(shape) + bytes(64)), "says it holds")


def test_an_image_asks_the_budget_before_memory_is_taken(write):
    path = write("a.npy", npy_header((1 << 18,)) + bytes(8 << 18))
    with budget(4 << 20):
        refused(path, "it takes 8.0 MiB", "(--memory)")
    with budget(64 << 20):
        assert read_image(path).shape == (1 << 18,)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.png"])
def test_a_shape_that_is_not_wanted_is_refused_before_values_are_read(write, tmp_path, name):
    image = np.zeros((3, 4), np.uint8)
    if name.endswith("npy"):
        write(name, npy_bytes(image)[:-5])  # damaged behind the header: nothing there is looked at
    elif name.endswith("npz"):
        np.savez(tmp_path / name, image)
    else:
        Image.fromarray(image).save(tmp_path / name)

    def accept(shape):
        raise InputError(f"seen {shape}")

    with pytest.raises(InputError, match=r"^seen \(3, 4\)$"):
        read_image(tmp_path / name, accept)


@pytest.mark.parametrize("keep", [0, 5, 9, 40, 127, 128, 200])
def test_npy_truncated(write, keep):
    refused(write("a.npy", npy_bytes(np.zeros((5, 5)))[:keep]))


def test_npy_of_objects_text_complex_and_records(write):
    refused(write("a.npy", npy_bytes(np.array([{}, None]), allow_pickle=True)), "object")
    refused(write("b.npy", npy_bytes(np.array(["a", "b"]))), "plain real numbers")
    refused(write("c.npy", npy_bytes(np.array([1j]))), "complex")
    refused(write("d.npy", npy_bytes(np.zeros(3, [("x", "f4")]))), "plain real numbers")


@given(st.binary(max_size=300), st.integers(0, 200))
def test_npy_of_any_bytes_is_read_or_refused(tmp_path_factory, noise, where):
    content = bytearray(npy_bytes(np.zeros((3, 3))))
    content[where : where + len(noise)] = noise
    path = tmp_path_factory.getbasetemp() / "noise.npy"
    path.write_bytes(content)
    try:
        assert isinstance(read_image(path), np.ndarray)
    except InputError as error:
        assert "\n" not in str(error)


def test_npz_of_one_array(write, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", image=np.eye(3))
    np.testing.assert_array_equal(read_image(tmp_path / "a.npz"), np.eye(3))


def test_npz_of_none_or_many_arrays_or_other_files(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.eye(3), other=np.eye(2))
    refused(tmp_path / "a.npz", "2 entries", "image.npy")
    with zipfile.ZipFile(tmp_path / "b.npz", "w"):
        pass
    refused(tmp_path / "b.npz", "0 entries")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("a.txt", "hello")
    refused(tmp_path / "c.npz", "a.txt")


def test_npz_whose_array_claims_more_than_it_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy_header((1000, 1000)) + bytes(8000))
    refused(tmp_path / "a.npz", "truncated")


def test_npz_truncated_or_damaged(write, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", image=np.arange(400.0))
    content = (tmp_path / "a.npz").read_bytes()
    for keep in range(0, len(content), 37):
        refused(write("b.npz", content[:keep]))
    damaged = bytearray(content)
    damaged[150:170] = bytes(20)
    refused(write("c.npz", bytes(damaged)))


@pytest.mark.parametrize(
    ("name", "mode", "dtype"),
    [
        ("a.png", "L", np.uint8),
        ("a.png", "RGB", np.uint8),
        ("a.png", "I;16", np.uint16),
        ("a.jpg", "L", np.uint8),
        ("a.jpeg", "RGB", np.uint8),
        ("a.tif", "L", np.uint8),
        ("a.tiff", "I;16", np.uint16),
        ("a.tif", "F", np.float32),
        ("a.tif", "I", np.int32),
    ],
)
def test_pictures_keep_their_values_and_type(tmp_path, mode, name, dtype):
    shape = (8, 6, 3) if mode == "RGB" else (8, 6)
    array = np.full(shape, 200).astype(dtype)
    if dtype is np.uint16:
        array[0, 0] = 60000
    picture = Image.fromarray(array)
    assert picture.mode == mode
    picture.save(tmp_path / name)
    read = read_image(tmp_path / name)
    assert read.dtype.kind == np.dtype(dtype).kind and read.shape == shape
    if name.startswith("a.j"):
        assert np.abs(read.astype(int) - array).max() <= 2
    else:
        np.testing.assert_array_equal(read, array)


def test_black_and_white_picture(tmp_path):
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.bool_ and read.sum() == 8


@pytest.mark.parametrize(
    ("mode", "word"), [("P", "palette"), ("RGBA", "transparency"), ("LA", "transparency")]
)
def test_pictures_that_are_no_plain_image(tmp_path, mode, word):
    Image.new(mode, (8, 8)).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", word)


def test_picture_with_a_transparent_colour(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png", transparency=0)
    refused(tmp_path / "a.png", "transparency")


def test_cmyk_picture(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "a.jpg")
    refused(tmp_path / "a.jpg", "CMYK")


def test_colour_of_16_bits_is_refused_not_cut_down(write):
    refused(
        write("a.png", png_bytes(2, 2, 16, 2, b"".join(b"\x00" + bytes(12) for _ in range(2)))),
        "more than 8 bits",
    )


def test_several_pages(tmp_path):
    pages = [Image.new("L", (4, 4), shade) for shade in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    refused(tmp_path / "a.tif", "3 pages")


def test_decompression_bomb(write):
    refused(write("a.png", png_bytes(60000, 60000, 8, 0, bytes(100))), "decompression bomb")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_truncated_pictures(write, tmp_path, name):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for keep in range(0, len(content) - 40, max(1, len(content) // 25)):
        refused(write(f"b{name[1:]}", content[:keep]))


def test_a_picture_under_another_kind_s_name(write, tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    refused(write("b.jpg", (tmp_path / "a.png").read_bytes()), "JPEG")


def test_unknown_suffix_lists_the_known_ones(write):
    refused(write("a.bmp", b"BM"), *SUFFIXES)
    refused(write("a", b""), *SUFFIXES)


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "a.npy", "does not exist")
    (tmp_path / "b.npy").mkdir()
    refused(tmp_path / "b.npy", "is a folder; onnx-si audit")


def test_file_that_can_t_be_opened(write, monkeypatch):
    path = write("a.npy", npy_bytes(np.eye(2)))

    def denied(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "_read_npy", denied)
    refused(path, "Permission denied")


# --- what a user may choose about pictures


def pages(tmp_path, shades=(5, 6, 7), sizes=(4, 4, 4)):
    made = [Image.new("L", (size, 4), shade) for shade, size in zip(shades, sizes, strict=True)]
    made[0].save(tmp_path / "a.tif", save_all=True, append_images=made[1:])
    return tmp_path / "a.tif"


def test_one_page_or_all_are_chosen(tmp_path):
    path = pages(tmp_path)
    assert (read_image(path, how=How(page="2")) == 6).all()
    volume = read_image(path, how=How(page="all"))
    assert volume.shape == (3, 4, 4) and volume[:, 0, 0].tolist() == [5, 6, 7]
    with pytest.raises(InputError, match="page 4; it holds 3"):
        read_image(path, how=How(page="4"))
    with pytest.raises(InputError, match="page 2 has shape"):
        read_image(pages(tmp_path, sizes=(4, 5, 4)), how=How(page="all"))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_dropped_if_asked_for(tmp_path, mode):
    array = np.random.default_rng(0).integers(0, 255, (5, 6, len(mode)), dtype=np.uint8)
    Image.fromarray(array, mode).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png", how=How(transparency="drop"))
    np.testing.assert_array_equal(read, array[..., :3] if mode == "RGBA" else array[..., 0])
    Image.fromarray(array[..., 0]).save(tmp_path / "b.png", transparency=7)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png", how=How(transparency="drop")), array[..., 0])


def test_palettes_are_looked_up_and_cmyk_is_converted_if_asked_for(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (7, 3), dtype=np.uint8)
    indices = np.random.default_rng(1).integers(0, 7, (5, 6), dtype=np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette(colours.ravel().tolist())
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", how=How(colours="rgb")), colours[indices])
    Image.new("CMYK", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", how=How(colours="rgb"))[0, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_an_exif_orientation_is_told_and_applied_if_asked_for(tmp_path, name):
    array = np.tile(np.arange(0, 240, 30, dtype=np.uint8), (16, 1))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: a viewer turns it by 90 degrees clockwise
    Image.fromarray(array).save(tmp_path / name, exif=exif)
    plain, turned = read_image(tmp_path / name), read_image(tmp_path / name, how=How(exif=True))
    assert plain.shape == (16, 8) and turned.shape == (8, 16)
    np.testing.assert_array_equal(turned, np.rot90(plain, -1))
    lossy, said = [], list(told(tmp_path / name))
    if name.endswith(".jpg"):
        lossy = said[:1]
        assert "changes the noise in blocks" in said.pop(0)
    assert ["orientation is 6" in text and "--exif" in text for text in said] == [True]
    assert list(told(tmp_path / name, How(exif=True))) == lossy
    Image.fromarray(array).save(tmp_path / f"b{name}")
    assert len(told(tmp_path / f"b{name}")) == len(lossy)


@pytest.mark.parametrize(("compression", "lossy"), [("jpeg", True), ("tiff_lzw", False), (None, False)])
def test_what_a_tiff_s_compression_does_to_noise_is_told(tmp_path, compression, lossy):
    array = np.random.default_rng(0).integers(0, 255, (16, 16)).astype(np.uint8)
    Image.fromarray(array).save(tmp_path / "a.tif", compression=compression)
    assert ["in blocks" in text for text in told(tmp_path / "a.tif")] == [True] * lossy


@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_a_tiff_that_is_to_be_turned_is_refused(tmp_path, orientation):
    """Pillow turns it on its own, and mixes up the values of an uncompressed one."""
    array, exif = np.arange(32, dtype=np.uint8).reshape(4, 8), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(tmp_path / "a.tif", exif=exif)
    refused(tmp_path / "a.tif", f"orientation {orientation}")
