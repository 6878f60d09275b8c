"""Messages between a process and its LAMMPS child: a JSON header and named arrays.

Nothing is pickled, so a damaged message is an error and never runs code.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> bytes:
    """Pack a message: the JSON header as bytes, then the arrays, all in numpy's format."""
    arrays = arrays or {}
    text = json.dumps({"header": dict(header), "arrays": list(arrays)}).encode()
    body = io.BytesIO()
    np.save(body, np.frombuffer(text, dtype=np.uint8), allow_pickle=False)
    for array in arrays.values():
        np.save(body, np.ascontiguousarray(array), allow_pickle=False)
    return body.getvalue()


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Unpack the header and the arrays of a message."""
    stream = io.BytesIO(body)
    envelope = json.loads(np.load(stream, allow_pickle=False).tobytes())
    arrays = {name: np.load(stream, allow_pickle=False) for name in envelope["arrays"]}
    return envelope["header"], arrays
