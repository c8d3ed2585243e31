"""The saliency map by onnxruntime on the file itself: nothing lifted, inlined, folded or rewritten.

The file runs as it is, with inner tensors declared as outputs where the map needs them. What the file does
not hold (a class activation map, a resize, gradients) are the nodes that were appended for the map; they run
behind it in a second session.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import UnsupportedModel
from onnx_si.graph import Model
from onnx_si.graph.preprocess import Preprocessing, applied
from onnx_si.ground.layout import Layout
from onnx_si.runtime.behind import behind_file
from onnx_si.runtime.element_types import TYPES, coarsest
from onnx_si.runtime.providers import CPU
from onnx_si.runtime.session import as_type, as_unsupported, input_type, input_unit, session_of
from onnx_si.runtime.showing import running_statistics, showing
from onnx_si.runtime.together import FLICKER, Tensors, Together, one_of, same

LARGEST_BATCH = 1 << 16  # values of the images of one batch: it can only be interrupted afterwards
PATIENCE = 0.25  # seconds that a call for each of several images should take at most, for the same reason
BATCHES = (3, 33)  # sizes of batches in which an image has to get the same bits
ALIKE = 1e-3  # share of its largest value by which an output may differ from what an image by itself gives
Array = NDArray[np.float64]


class FileMap:
    """The map of a file for any image, in onnxruntime.

    Parameters
    ----------
    loaded : Model
        As it was loaded.
    made : Model
        With the map (and any preprocessing) appended.
    tensor : str
        The map in `made`.
    image_name : str
        The input of `made` that takes the image.
    layout : Layout
        Of the image.
    steps : Preprocessing
        Done here, outside the file.
    providers : tuple of str
        onnxruntime's own names.
    threads : int
        Of the runtime; its answers do not depend on them.

    Raises
    ------
    UnsupportedModel
        If the map needs a tensor that the file's own graph does not hold by that name, or onnxruntime can't
        load the file.
    """

    def __init__(
        self,
        loaded: Model,
        made: Model,
        tensor: str,
        image_name: str,
        layout: Layout,
        steps: Preprocessing,
        providers: tuple[str, ...] = (CPU,),
        threads: int = 1,
    ):
        file = loaded.file
        self._given, self._layout, self._steps = loaded.inputs[0].name, layout, steps
        self._providers, self.on_cpu, self._threads = providers, providers == (CPU,), threads
        self._spread = 0.0 if self.on_cpu else FLICKER
        self._type = input_type(loaded, self._given)
        self._behind = behind_file(loaded, made, tensor, image_name)
        self.input_unit = input_unit(loaded, self._given)
        own = float(np.finfo(np.float32).eps) if self._behind.nodes else 0.0  # appended nodes are in float32
        self.unit = max(self.input_unit, own, coarsest(file.graph))
        self._tensor, self._image_name = tensor, image_name
        shown = showing(file, self._behind.borrowed)
        self._file = session_of(shown, providers, threads)
        self._asked = [name for name in self._behind.borrowed if name != self._given]
        self._shows_given = self._given in self._behind.borrowed
        kept = [] if running_statistics(file.graph) else self._asked  # else a body would write them over
        self._files = Together(shown, kept, self._alone, providers, threads, self._spread)
        self._view = self._behind.view(tensor)
        self._second: onnxruntime.InferenceSession | None = None
        if self._view is None and self._behind.nodes:
            proto = self._joined(made)
            self._second = session_of(proto, providers, threads)
            self._seconds = Together(proto, [tensor], self._map_of, providers, threads, self._spread)
        self._separate: bool | None = None
        self._pace = math.inf  # seconds of an image, where it went fastest
        declared = next(value for value in file.graph.input if value.name == self._given)
        first = declared.type.tensor_type.shape.dim[:1]
        self._in_batches = layout.axes.startswith("N") and bool(first) and not first[0].HasField("dim_value")

    def _joined(self, made: Model) -> onnx.ModelProto:
        """The appended nodes as a model of their own."""
        behind = self._behind
        values = (*self._file.get_inputs(), *self._file.get_outputs())
        types = {value.name: value.type for value in values}
        strange = [f"{name} ({types[name]})" for name in behind.borrowed if types[name] not in TYPES]
        if strange:
            raise UnsupportedModel(
                f"the map needs {', '.join(strange)}, which can't be taken from the runtime"
            )
        kinds = {name: TYPES[types[name]] for name in behind.borrowed}
        if behind.reads_image:
            kinds[self._image_name] = helper.np_dtype_to_tensor_dtype(np.dtype(self._type))
        graph = helper.make_graph(
            list(behind.nodes),
            "behind_the_file",
            [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
            [onnx.ValueInfoProto(name=self._tensor)],
            list(behind.constants),
        )
        return helper.make_model(
            graph, opset_imports=made.proto.opset_import, ir_version=made.proto.ir_version
        )

    @property
    def whole_numbers(self) -> bool:
        """Whether the file takes nothing but whole numbers: most points of a line can't be given to it."""
        return issubclass(self._type, np.integer)

    def takes(self, image: Array) -> bool:
        """Whether the file can be given an image as it is: one of whole numbers, where it takes no others."""
        if not self.whole_numbers:
            return True
        done = applied(self._steps, self.rounded(image), self._layout)
        return bool(np.array_equal(as_type(done, self._type), done))

    @property
    def precision(self) -> type[np.floating[Any]]:
        """The type that the preprocessing is done in."""
        return self._type if issubclass(self._type, np.floating) else np.float32

    def rounded(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images (n, *shape) in the precision that the preprocessing is done in."""
        return np.asarray(images, self.precision)

    def _as_input(self, image: NDArray[Any]) -> NDArray[Any]:
        """What the file itself is given: whole numbers are rounded to, within their range."""
        ready = applied(self._steps, image, self._layout) if self._steps else image
        return as_type(ready, self._type)

    def _each_as_input(self, images: NDArray[Any]) -> Iterable[NDArray[Any]]:
        """Several images, each as the file is given it by itself."""
        return [self._as_input(image) for image in images] if self._steps else as_type(images, self._type)

    def _stack_of_inputs(self, images: NDArray[Any]) -> NDArray[Any]:
        """The same, stacked."""
        ready = self._each_as_input(images)
        return ready if isinstance(ready, np.ndarray) else np.stack(list(ready))

    def _as_inputs(self, images: NDArray[Any]) -> NDArray[Any]:
        """Several images in one array, along the batch that each of them has in front."""
        if self._steps:
            return np.concatenate([self._as_input(image) for image in images])
        return as_type(images.reshape(-1, *images.shape[2:]), self._type)

    def run(self, images: NDArray[Any], *, alone: bool = False) -> Array:
        """The map for each image (n, *shape), stacked, as float64: see `maps`."""
        return np.asarray(self.maps(images, alone=alone), np.float64)

    def maps(self, images: NDArray[Any], *, alone: bool = False) -> NDArray[Any]:
        """The map for each image (n, *shape), stacked, in a type that holds the runtime's.

        Parameters
        ----------
        images : array
            In the image's own units.
        alone : bool
            One by one, whatever batch the file allows.

        Raises
        ------
        UnsupportedModel
            If onnxruntime can't run the file.
        """
        started = time.perf_counter()
        with as_unsupported():
            found = self._run(self.rounded(images), alone)
        self._pace = min(self._pace, (time.perf_counter() - started) / max(1, len(images)))
        return found

    def _run(self, images: NDArray[Any], alone: bool) -> NDArray[Any]:
        stacked = None if alone or len(images) < 2 else self._stacked(images)
        if stacked is not None:
            return stacked
        found = np.empty(0)
        for number, part in enumerate(self._maps(images, alone)):
            if not number:
                found = np.empty((len(images), *part.shape))
            found[number] = part
        return found

    def _stacked(self, images: NDArray[Any]) -> NDArray[Any] | None:
        """The maps of several images from few calls; None where that is not the same as one by one."""
        size = LARGEST_BATCH // images[0].size if self._in_batches else int(PATIENCE / self._pace)
        size = max(1, size)  # how many the Scan is given changes no bit, so the clock may say it
        if len(images) <= size:
            return self._stacked_maps(images)
        parts: list[NDArray[Any]] = []
        for start in range(0, len(images), size):
            part = self._stacked_maps(images[start : start + size])
            if part is None:
                return None
            parts.append(part)
        return np.concatenate(parts)

    def _stacked_maps(self, images: NDArray[Any]) -> NDArray[Any] | None:
        """Of as many images as the runtime is given in one call."""
        outputs = self._batch(images) if self._in_batches else None
        if outputs is None:
            outputs = self._each_by_scan(images)
        if outputs is None:
            return None
        if self._view is not None:
            return self._view.of_each(outputs[self._behind.borrowed[0]])
        if self._second is None:
            return outputs[self._tensor]
        given = {**outputs, self._image_name: images} if self._behind.reads_image else outputs
        together = self._seconds.run(given)
        if together is not None:
            return together[self._tensor]
        return np.stack([self._map_of(one_of(given, i))[self._tensor] for i in range(len(images))])

    def _each_by_scan(self, images: NDArray[Any]) -> Tensors | None:
        """What the map needs for each of the images, where the file takes one image only."""
        if not self._asked:
            return None
        ready = self._stack_of_inputs(images)
        found = self._files.run({self._given: ready})
        return {**found, self._given: ready} if found is not None and self._shows_given else found

    def _alone(self, given: Tensors) -> Tensors:
        return self._through(given[self._given])

    def _map_of(self, given: Tensors) -> Tensors:
        """The map of one image, from what the appended nodes read."""
        assert self._second is not None
        return {self._tensor: np.asarray(self._second.run([self._tensor], dict(given))[0])}

    def _maps(self, images: NDArray[Any], alone: bool) -> Iterator[NDArray[Any]]:
        batched = self._in_batches and not alone
        if batched or self._view is None or not self._asked:
            for image, outputs in self._outputs(images, alone):
                yield self._map(image, outputs)
            return
        run, view, names, given = self._file.run, self._view, self._asked, self._given
        for ready in self._each_as_input(images):  # the same without what a small network would notice
            yield view(run(names, {given: ready})[0])

    def _map(self, image: NDArray[Any], outputs: Tensors) -> NDArray[Any]:
        if self._view is not None:
            return self._view(np.asarray(outputs[self._behind.borrowed[0]]))
        if self._second is None:
            return np.asarray(outputs[self._tensor])
        given = {self._image_name: image} if self._behind.reads_image else {}
        return self._map_of({**outputs, **given})[self._tensor]

    def _outputs(self, images: NDArray[Any], alone: bool) -> Iterator[tuple[NDArray[Any], Tensors]]:
        """Each image by itself, with what the map needs of the file."""
        ready = self._each_as_input(images)
        for number, (image, given) in enumerate(zip(images, ready, strict=True)):
            one = None if alone or not self._in_batches else self._batch(images[number : number + 1])
            yield image, self._through(given) if one is None else {name: v[0] for name, v in one.items()}

    def _one(self, image: NDArray[Any]) -> Tensors:
        return self._through(self._as_input(image))

    def _through(self, given: NDArray[Any]) -> dict[str, Any]:
        names = self._asked
        found = dict(zip(names, self._file.run(names, {self._given: given}), strict=True)) if names else {}
        if self._shows_given:
            found[self._given] = given
        return found

    def _batch(self, images: NDArray[Any]) -> Tensors | None:
        """What the map needs for each of the images (n, 1, ...), of one call; None where the file mixes or
        rounds the images of a batch otherwise than alone, or takes none.
        """
        try:
            # one image is run beside a copy: some kernels sum in another order for a single row, and the
            # region of an image must not depend on what else is asked at the same time
            values = self._in_one(images if len(images) > 1 else [images[0], images[0]])
            if values is not None and self._is_separate(images[0]):
                return {name: value[: len(images), None] for name, value in values.items()}
        except Exception:  # a batch that the file can't take; alone it says why
            pass
        self._in_batches = False
        return None

    def _in_one(self, images: Sequence[NDArray[Any]] | NDArray[Any]) -> Tensors | None:
        """The file's outputs for a batch; None where they are not one for each image."""
        values = self._through(self._as_inputs(np.asarray(images)))
        each = all(value.ndim and len(value) == len(images) for value in values.values())
        return values if each else None

    def _is_separate(self, image: NDArray[Any]) -> bool:
        """Whether an image gets the same numbers beside a copy, and first, in the middle and last among
        others that are far from it: told once.

        Normalisation over the batch, or a scale that is taken of all of it, would mix them; a kernel that
        sums in another order for larger batches would make the region flicker.
        """
        if self._separate is None:
            mates = (3 * image[..., ::-1] + 1, -7 * image - 2)
            pair, alone = self._in_one([image, image]), self._one(image)
            self._separate = (
                pair is not None
                and all(same(pair[name][:1], value, ALIKE) for name, value in alone.items())
                and all(self._is_same_among(image, mates, size, pair) for size in BATCHES)
            )
        return self._separate

    def _is_same_among(
        self, image: NDArray[Any], mates: Sequence[NDArray[Any]], size: int, pair: Tensors
    ) -> bool:
        places = (0, size // 2, size - 1)
        batch = [image if i in places else mates[i % len(mates)] for i in range(size)]
        found = self._in_one(batch)
        return found is not None and all(
            same(found[name][i], value[j], self._spread)
            for name, value in pair.items()
            for i in places
            for j in (0, 1)
        )
