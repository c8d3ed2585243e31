"""Random graphs of all kinds of ops, and a judge of the tests on them that knows nothing of onnx_si."""
