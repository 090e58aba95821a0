"""The totals of a run."""

from dreamer_exp.algorithms.protocol import Iteration
from dreamer_exp.monitoring.counters import Counters


def test_the_prefill_is_counted_and_survives_a_checkpoint() -> None:
    counters = Counters()
    counters.add(Iteration(env_steps=48, prefill_env_steps=32, updates=1))
    counters.add(Iteration(env_steps=16, updates=2))
    restored = Counters()
    restored.load_state(counters.to_dict())

    assert (restored.env_steps, restored.prefill_env_steps, restored.updates) == (64, 32, 3)


def test_a_checkpoint_of_an_earlier_release_has_no_prefill() -> None:
    state = Counters().to_dict()
    del state["prefill_env_steps"]
    counters = Counters()
    counters.load_state(state)

    assert counters.prefill_env_steps == 0
