"""The line of images, the noise, the hypotheses and the laws of what was selected."""
