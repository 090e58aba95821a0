"""Comparison of an exported file with the policy that it was made from, step by step, and its latency."""

import math
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dreamer_exp.algorithms.acting_network import ActingNetwork
from dreamer_exp.algorithms.rows import RowNoise
from dreamer_exp.exporting.formats import Arrays, Run
from dreamer_exp.exporting.graph import PolicyGraph
from dreamer_exp.policy.acting import Policy
from dreamer_exp.threads import one_thread

TOLERANCE = 1e-5  # relative to numbers larger than 1
OWN_FACTOR = 4  # the file may be as many times as inexact as the policy itself
REDRAWN = 0.5  # a larger difference of a step is another latent
REPEATS, STEPS = 15, 20  # of the latency


@dataclass(frozen=True)
class Agreement:
    """How far an exported file is from its policy.

    Attributes:
        steps: compared.
        largest: difference of an action or a part of the state, relative to numbers larger than 1.
        own: how far the policy's float32 numbers are from those in float64, likewise. In networks of thousands of units
            it is about 1e-5.
        redrawn: steps where rounding drew another latent.
        value: difference of the file's values from those in float64 of the same states; 0 without a critic.
        own_value: the same of the policy's values. A two-hot value (Hafner et al. 2023, eq. 10) is a sum over bins up
            to 5e8, so that in float32 a critic that is not sure has a few digits only.
    """

    steps: int
    largest: float
    redrawn: int
    own: float = 0.0
    value: float = 0.0
    own_value: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Return whether the file computes the policy."""
        is_exact = self.largest <= self.allowed and self.value <= TOLERANCE + OWN_FACTOR * self.own_value
        return is_exact and self.redrawn <= self.steps // 100

    @property
    def allowed(self) -> float:
        """Return the largest difference that rounding explains."""
        return TOLERANCE + OWN_FACTOR * self.own


@one_thread()
def compare(
    policy: Policy, run: Run, steps: int, seed: int = 0, watch: Callable[[int], None] = lambda done: None
) -> Agreement:
    """Compute steps of the policy, and by the file from the same state, observations and noise.

    Each step begins in the policy's state: a trained policy can amplify rounding errors of 1e-7 to 0.1 within 50 steps.

    Args:
        policy: for N robots.
        run: the file.
        steps: to compare.
        seed: of observations and noise.
        watch: called with the number of finished steps after each.
    """
    rng, rows = np.random.default_rng(seed), policy.robots or 1
    noise = RowNoise(rows)
    for row in range(rows):
        noise.begin(row, seed + row)
    policy.reset(seed=seed)
    exact = PolicyGraph(deepcopy(policy)).double()
    largest, own, redrawn, value, own_value = 0.0, 0.0, 0, 0.0, 0.0
    for step in range(steps):
        vectors, before = random_observations(policy, rng, rows), _arrays(policy)
        uniform = policy.network.draw(noise).numpy()
        policy.network.after_mode(noise)
        normal = np.zeros((rows, 0 if policy.network.discrete else policy.network.action_size), np.float32)
        inputs = [vectors, *before, np.concatenate([uniform, normal], 1)]
        outputs = run(inputs)
        expected = [_act(policy, vectors), *_arrays(policy)]
        state = outputs[1 : len(expected)]
        if policy.network.has_heads:
            value = max(value, _difference(outputs[-1], _value(exact.network, state)))
            own_value = max(own_value, _difference(np.atleast_1d(policy.value()), _value(exact.network, expected[1:])))
        difference = max(_difference(*pair) for pair in zip(outputs[: len(expected)], expected, strict=True))
        if REDRAWN < difference < math.inf:
            redrawn += 1
        else:
            largest = max(largest, difference)
        rounding = max(_difference(*pair) for pair in zip(expected, _in_float64(exact, inputs), strict=False))
        own = max(own, rounding if rounding <= REDRAWN else 0.0)
        watch(step + 1)
    return Agreement(steps, largest, redrawn, own, value, own_value)


def _in_float64(graph: PolicyGraph, inputs: Arrays) -> Arrays:
    """Return action, state and value, in float64."""
    with torch.inference_mode():
        return [output.numpy() for output in graph(*(torch.from_numpy(part).double() for part in inputs))]


def _value(network: ActingNetwork, state: Arrays) -> NDArray[np.float64]:
    """Return the critic's estimate in float64 (N,)."""
    with torch.inference_mode():
        values: NDArray[np.float64] = network.value(tuple(torch.from_numpy(part).double() for part in state)).numpy()
    return values


@one_thread()
def latency_ms(policy: Policy, run: Run) -> float:
    """Return the milliseconds of a step of one robot: CPU time of one thread, the median of some repeats."""
    shapes = policy.network.state_shapes.values()
    network = policy.network
    columns = network.stoch + (0 if network.discrete else network.action_size)
    vectors = random_observations(policy, np.random.default_rng(0), 1)
    inputs = [vectors, *(np.zeros((1, *shape), np.float32) for shape in shapes), np.zeros((1, columns), np.float32)]

    def measure() -> float:
        began = time.process_time()
        for _ in range(STEPS):
            run(inputs)
        return 1000 * (time.process_time() - began) / STEPS

    measure()
    return statistics.median(measure() for _ in range(REPEATS))


def random_observations(policy: Policy, rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
    """Return observed numbers (N, O) within their bounds, as the graph takes them."""
    vectors = rng.random((rows, policy.observation_size), np.float32)
    if policy.contract is None:
        return vectors
    low, high = policy.contract.bounds
    low, high = np.maximum(low, -10.0), np.minimum(high, 10.0)
    observed: NDArray[np.float32] = (low + vectors * (high - low)).astype(np.float32)
    return observed


def _act(policy: Policy, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    contract = policy.contract
    if contract is None:
        actions = policy.act(vectors if policy.robots else vectors[0])
    else:
        parts = {entry.key: vectors[:, entry.place].reshape(-1, *entry.shape) for entry in contract.entries}
        actions = policy.act(parts if policy.robots else {key: part[0] for key, part in parts.items()})
    return actions if policy.robots else np.asarray(actions)[None]


def _arrays(policy: Policy) -> Arrays:
    return [tensor.cpu().numpy() for tensor in policy.state.tensors]


def _difference(found: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    if not np.isfinite(found).all():
        return math.inf
    scale = np.maximum(np.abs(expected), 1.0)
    return float((np.abs(found - expected) / scale).max(initial=0.0))
