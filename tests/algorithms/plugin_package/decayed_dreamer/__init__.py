"""DreamerV3 with weight decay: the smallest algorithm of docs/algorithms.md."""
