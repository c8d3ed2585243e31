"""Files of other kinds where a model or an image is wanted: what they are, and the command that helps."""

from pathlib import Path

from onnx_si.ground.paths import FILE, FOLDER, what_is_at
from onnx_si.ground.terminal import shown

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
SUFFIXES = (".npy", ".npz", *PICTURES)
_KERAS = ("a Keras model", "keras_to_onnx.py")
_TORCH = ("a PyTorch model", "torch_to_onnx.py")
_CONVERTED = {
    ".keras": _KERAS,
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".pt2": _TORCH,
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".ts": _TORCH,
}
_PICKLES = (".pt", ".pth")
_SCRIPTS = (*_PICKLES, ".ts")
_WEIGHTS = (
    "; what torch.save wrote is a pickle, which runs code when it is loaded: save the model with "
    "torch.export.save (.pt2) or torch.jit.save where it is made"
)


def not_a_model(file: Path) -> str | None:
    """What a file is that can't be a model, and what to do; None where its name does not tell."""
    suffix = file.suffix.lower()
    if what_is_at(file) == FOLDER:
        if what_is_at(file / "saved_model.pb") == FILE:
            return (
                f"is a folder with a TensorFlow SavedModel; convert it: {_command('keras_to_onnx.py', file)}"
            )
        return "is a folder; give the path of an .onnx file"
    if suffix in SUFFIXES:
        return "is an image, where the model is wanted; swapped? The model comes first: onnx-si MODEL IMAGE"
    if suffix == ".tflite":
        made = shown(file.with_suffix(".onnx").name)
        return (
            "is a TensorFlow Lite model, which tf2onnx converts: "
            f"python -m tf2onnx.convert --tflite {shown(file)} --output {made}; better is "
            "the model it was made from, with converters/keras_to_onnx.py"
        )
    if suffix not in _CONVERTED:
        return None
    what, script = _CONVERTED[suffix]
    if suffix in _SCRIPTS:
        return (
            f"is {what}; convert what torch.jit.save wrote, with the shape of an image: "
            f"{_command(script, file, ' --input-shape 1,C,H,W')}{_WEIGHTS if suffix in _PICKLES else ''}"
        )
    return f"is {what}; convert it: {_command(script, file)}"


def not_an_image(file: Path) -> str | None:
    """The same where an image is wanted."""
    if what_is_at(file) == FOLDER:
        return "is a folder; onnx-si audit MODEL FOLDER --output DIR tests all images of one"
    if file.suffix.lower() == ".onnx":
        return "is a model, where an image is wanted; swapped? The model comes first: onnx-si MODEL IMAGE"
    return None


def _command(script: str, file: Path, more: str = "") -> str:
    made = shown(file.with_suffix(".onnx").name)
    return f"uv run converters/{script} {shown(file)} -o {made}{more} (without uv: python in place of uv run)"
