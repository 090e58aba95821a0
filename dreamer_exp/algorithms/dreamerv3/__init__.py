"""DreamerV3 as published (Hafner et al., Nature 2025; arXiv 2301.04104v2) in plain torch.

Shapes are told with these letters: B sequences, T steps, N = rows of any kind, H imagined steps, O observation, A
actions, E the encoder's units, D recurrent units (deter), S categoricals (stoch) of C classes each, G blocks.
"""
