"""One small handler per ONNX op, a file per family; importing this package registers them all."""

import importlib
import pkgutil

for _file in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_file.name)
