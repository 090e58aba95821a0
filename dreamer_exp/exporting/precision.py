"""Weights of an ONNX file in fewer bits."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from dreamer_exp.policy.acting import Policy

MIN_WEIGHTS = 1024  # of a tensor in float16: smaller ones, such as biases, save nothing


def reduce_weights(path: Path, dtype: str) -> None:
    """Rewrite an ONNX file of float32 with weights of another dtype."""
    if dtype == "float16":
        to_float16(path)
    elif dtype == "int8":
        to_int8(path)


def to_float16(path: Path) -> None:
    """Store the weights in float16. The runtime converts them when it loads the file, and computes in float32."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model: Any = onnx.load(path)
    graph = model.graph
    large = [
        weight
        for weight in graph.initializer
        if weight.data_type == TensorProto.FLOAT and np.prod(weight.dims) >= MIN_WEIGHTS
    ]
    for weight in large:
        graph.initializer.remove(weight)
        name = f"{weight.name}_float16"
        graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), name))
        graph.node.insert(0, helper.make_node("Cast", [name], [weight.name], to=TensorProto.FLOAT))
    onnx.save(model, path)


def to_int8(path: Path) -> None:
    """Quantise products dynamically by onnxruntime: weights in int8, and each step's inputs in uint8."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    described: Any = onnx.load(path)
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it recommends a step that names shapes, which the file has
    try:
        quantize_dynamic(path, path, weight_type=QuantType.QInt8)
    finally:
        logging.disable(disabled)
    model: Any = onnx.load(path)
    del model.metadata_props[:]
    model.metadata_props.extend(described.metadata_props)
    onnx.save(model, path)


def round_weights(policy: Policy) -> None:
    """Round a policy's weights to those of a file of float16."""
    for parameter in policy.network.parameters():
        if parameter.numel() >= MIN_WEIGHTS:
            parameter.data = parameter.data.half().float()
