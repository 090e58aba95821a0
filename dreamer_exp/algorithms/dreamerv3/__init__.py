"""DreamerV3 as published, in plain PyTorch.

Sources: Hafner et al. 2023 (arXiv:2301.04104v2; Nature, 2025), and danijar/dreamerv3 for what the paper leaves open.
Equation numbers in this package are those of arXiv:2301.04104v2.

Shapes are written with these letters:

    B   sequences in a batch             S   stochastic variables (categoricals) of the latent
    T   steps of a sequence              C   classes of each stochastic variable
    H   imagined steps (the horizon)     D   deterministic units (the recurrent state)
    N   rows: environments, or B*T       G   blocks of the recurrent core
    O   observation                      U   units of a hidden layer
    A   actions                          E   units of the encoder's output (tokens)

`S*C` is the width of the flattened one-hot latent, `(...)` any leading axes, `()` a scalar.
"""
