"""The seeds that are kept for evaluation, and how training avoids them."""

import numpy as np

RESERVED = (
    range(101, 104),  # Robot SF's development seeds
    range(111, 141),  # Robot SF's canonical evaluation (paper_eval_s30)
    range(900_000, 1_100_000),  # evaluation.seed and the seeds after it; the competence table
)


def is_reserved(seed: int) -> bool:
    """Return whether training must not use this seed."""
    return any(seed in seeds for seeds in RESERVED)


def draw_seed(rng: np.random.Generator, high: int) -> int:
    """Return a seed from 0 to `high` - 1 that isn't reserved.

    A reserved one is drawn again, so that every other draw is `rng.integers(high)`.
    """
    while is_reserved(seed := int(rng.integers(high))):
        pass
    return seed


def derive_seed(run_seed: int, spawn_key: tuple[int, ...]) -> int:
    """Return the seed of a random stream of a run, from 0 to 2**31 - 1 and not reserved.

    It is the first such word of numpy's SeedSequence, in which neighbouring run seeds share nothing.
    """
    words = np.random.SeedSequence(run_seed, spawn_key=spawn_key).generate_state(8) >> 1
    return next(int(word) for word in words if not is_reserved(int(word)))
