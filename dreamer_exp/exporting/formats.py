"""The formats of an export: how a graph is written, and how the file is run to check it."""

import io
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dreamer_exp.config.errors import UserError
from dreamer_exp.exporting.graph import PolicyGraph
from dreamer_exp.exporting.metadata import EXTRA_FILE, KEY

Arrays: TypeAlias = list[NDArray[Any]]
Run: TypeAlias = Callable[[Sequence[NDArray[Any]]], Arrays]
"""Computes the outputs of a file from its inputs, with one thread."""

MAX_ROBOTS = 4096
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        file: name of the file.
        packages: what it needs.
        write: writes a graph with its metadata into a file.
        open: returns how to run the file.
    """

    file: str
    packages: tuple[str, ...]
    write: Callable[[PolicyGraph, dict[str, Any], Path], None]
    open: Callable[[Path], Run]

    def require(self) -> None:
        """Raise UserError if a package is missing."""
        if missing := [name for name in self.packages if find_spec(name) is None]:
            raise UserError(f"format=onnx needs {', '.join(missing)}: pip install 'dreamer-exp[export]'")


def write_onnx(graph: PolicyGraph, about: dict[str, Any], path: Path) -> None:
    """Write an ONNX file for any number of robots."""
    example = graph.example(2)
    rows = torch.export.Dim("N", min=1, max=MAX_ROBOTS)
    shapes = ({0: rows}, tuple({0: rows} for _ in example[1:]))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns that torchvision is not installed
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                example,
                dynamo=True,
                verbose=False,
                input_names=graph.input_names,
                output_names=graph.output_names,
                dynamic_shapes=shapes,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    program.model.metadata_props[KEY] = json.dumps(about)
    program.save(str(path))


def open_onnx(path: Path) -> Run:
    """Return a function that runs an ONNX file with onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: Sequence[NDArray[Any]]) -> Arrays:
        outputs: Arrays = session.run(None, dict(zip(names, inputs, strict=True)))
        return outputs

    return run


def write_torchscript(graph: PolicyGraph, about: dict[str, Any], path: Path) -> None:
    """Write a TorchScript archive, which torch reads without this package, also from C++."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and traced sizes of axes that are fixed
        traced = torch.jit.trace(graph, graph.example(2))
        archive = io.BytesIO()  # torch ends the process if the disk is full while it writes a file
        torch.jit.save(traced, archive, _extra_files={EXTRA_FILE: json.dumps(about)})
    path.write_bytes(archive.getbuffer())


def open_torchscript(path: Path) -> Run:
    """Return a function that runs a TorchScript archive."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(str(path))

    def run(inputs: Sequence[NDArray[Any]]) -> Arrays:
        with torch.inference_mode():
            outputs = loaded(*(torch.from_numpy(np.ascontiguousarray(part)) for part in inputs))
        return [output.numpy() for output in outputs]

    return run


FORMATS = {
    "onnx": Format("policy.onnx", ONNX_PACKAGES, write_onnx, open_onnx),
    "torchscript": Format("policy.pt", (), write_torchscript, open_torchscript),
}
