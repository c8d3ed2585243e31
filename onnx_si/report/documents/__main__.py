"""Write the JSON Schema of every document: `python -m onnx_si.report.documents docs/schema`."""

import json
import sys
from pathlib import Path

from onnx_si.report.documents import DOCUMENTS

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for document in DOCUMENTS:
    (folder / document.file).write_text(json.dumps(document.schema(), indent=2) + "\n", encoding="utf-8")
