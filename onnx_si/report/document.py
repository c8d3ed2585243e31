"""Documents as text."""

import json
from collections.abc import Mapping
from typing import Any


def to_json(content: Mapping[str, Any]) -> str:
    """Text of a document; what JSON can't say is an error."""
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
