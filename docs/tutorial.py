# %% [markdown]
# # Tutorial: from a model to a p-value, in Python
#
# This page is the script `docs/tutorial.py`: what stands below the code is what it printed when the page
# was made, and a test runs it. Start it in the root of a clone, or open it as a notebook in an editor
# that knows `# %%` cells.
#
# ## A model and an image
#
# A classifier that was trained to say whether an image of noise holds a bright square, an image that
# does, and one that does not.

# %%
import numpy as np

import onnx_si

model = onnx_si.load("models/paper_cam_32.onnx")
image = np.load("models/paper_cam_32_image.npy")
reference = np.load("models/paper_cam_32_reference.npy")
print(image.shape, image.dtype, f"mean {image.mean():.2f}")

# %% [markdown]
# ## The test
#
# The region is where the class activation map is above half of its largest value. Is its mean another
# than that of the same pixels in the reference? The noise has standard deviation 1.

# %%
result = onnx_si.test(model, image, reference, sigma=1.0, saliency="cam", threshold="max:0.5")
low, high = result.confidence_interval
print(f"p-value {result.p_value:.2g}, {result.region.sum()} pixels, difference {low:.2f} to {high:.2f}")
assert result.p_value < 1e-10

# %% [markdown]
# ## Why an ordinary test won't do
#
# The reference holds nothing but noise, and the network marks a region there, too (with the map and the
# threshold that the model's file names). A z-test of that region takes it for a discovery, because the
# region was chosen for looking unusual. The selective test compares it only with images in which the
# network marks the same region.

# %%
nothing = onnx_si.test(model, reference, sigma=1.0, methods=["naive"])
print(f"selective {nothing.p_value:.2f}, naive {nothing.comparison.naive:.4f}")
assert nothing.p_value > 0.05 > nothing.comparison.naive

# %% [markdown]
# ## How sure is the number?
#
# `guarantee` says what the p-value is worth. This network is piecewise linear, so it is exact, and the
# bounds are true. Chains and thinning work for every model; their level is exact as well.

# %%
print(result.guarantee, [f"{bound:.3g}" for bound in result.p_value_bounds])
thinned = onnx_si.test(model, image, reference, sigma=1.0, saliency="cam", threshold="max:0.5", thin=0.5)
print(thinned.guarantee, f"{thinned.p_value:.1g}")
assert (result.guarantee, thinned.guarantee) == ("exact", "thinned")

# %% [markdown]
# ## Many images with one model
#
# `prepare` makes once what does not depend on an image's values. Images in which the model marks nothing
# have no test; that is an answer, too.

# %%
analysis = onnx_si.prepare(model, sigma=1.0)
noise = np.random.default_rng(0).standard_normal((5, 32, 32)).astype(np.float32)
for number, each in enumerate(noise):
    try:
        print(number, f"p-value {analysis.test(each).p_value:.2f}")
    except onnx_si.NothingToTest:
        print(number, "no region")

# %% [markdown]
# Five images are no check of a level. `onnx_si.simulate` is, and tells what signal your model can find;
# see [Which option when](which-option.md) for what to choose, and [Many images](audit.md) for one verdict
# over a folder.
