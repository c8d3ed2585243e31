"""The ops of ai.onnx.ml: trees, machines of support vectors, features of tables."""
