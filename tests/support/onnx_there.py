"""onnx and ONNX Runtime for the tests with models: without them they are skipped, except under CI, which has them."""

from __future__ import annotations

import os
from typing import Any

import pytest

if os.environ.get("CI"):
    import onnx
    import onnxruntime
else:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: no model is read")
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed: no model is compared with it"
    )

from fusedrnn.onnx import backend

onnxruntime.set_default_logger_severity(4)  # what it refuses is asserted, not printed

__all__ = ["backend", "onnx", "onnxruntime", "session"]


def session(model: Any) -> Any:
    """A model in ONNX Runtime, on one thread: the problems are small."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
