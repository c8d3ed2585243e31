"""Where the noise of a test is from, as results say it."""

GIVEN, FROM_MODEL = "given", "the model's metadata"
ELSEWHERE = ("covariance", "noise_from", "sigma_from", "noise")  # options that say it in place of `sigma`
