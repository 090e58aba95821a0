"""Where the fused backend's tests run: on the GPU if there is one, otherwise on the CPU in Triton's interpreter."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Of a scan, for each 16 rows. The interpreter runs one after the other, and most of 32 have no tile at these sizes;
# with 3, a program takes several tiles, and not all take equally many. scan/ also tests programs without a tile.
PROGRAMS = 32 if DEVICE == "cuda" else 3
