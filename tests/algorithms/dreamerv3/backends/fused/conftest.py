"""Without a GPU, run the kernels in Triton's interpreter, which has to be requested before they are imported.

Convolutions are computed in float32 and without atomics, as the learner sets it.
"""

import importlib.util
import os

import torch

torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.deterministic = True
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
if importlib.util.find_spec("triton") is None:  # Triton, and with it the fused backend, exists on Linux only
    collect_ignore_glob = ["test_*.py", "*/test_*.py"]
