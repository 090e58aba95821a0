"""danijar's DreamerV3 (JAX), which update_time.py compares if it is installed.

It is no package of PyPI (`dreamerv3` there is of 2023): clone github.com/danijar/dreamerv3, put it on PYTHONPATH, and
install what its requirements.txt lists for the learner: jax, elements, ninjax, portal, optax, einops, granular, chex,
jaxtyping, ruamel.yaml, scope. Its commit e3f0224 needs JAX 0.4.33.
"""

import importlib.util
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from update_sides import ACTIONS, Work, random_numbers

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

MODULES = ("dreamerv3", "embodied", "jax", "elements", "ninjax", "portal", "optax", "einops", "chex", "ruamel")
TYPES = {"float32": "float32", "tf32": "float32", "bfloat16": "bfloat16"}  # JAX multiplies float32 in tf32 on a GPU


def why_not_danijar(work: Work) -> str:
    """Return why danijar's learner cannot be measured here, or an empty text."""
    missing = [name for name in MODULES if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} not found: put a clone of github.com/danijar/dreamerv3 on PYTHONPATH, with JAX"
    found = importlib.util.find_spec("dreamerv3")
    if found is None or found.origin is None or not (Path(found.origin).parent / "rssm.py").is_file():
        return "the dreamerv3 found is another one; put a clone of github.com/danijar/dreamerv3 first on PYTHONPATH"
    return ""


def danijar_side(work: Work) -> Callable[[], float]:
    """Return a function that makes one update of danijar's learner and returns its seconds."""
    import dreamerv3.agent
    import elements
    import jax
    from embodied.jax import internal

    observations = {
        "vector": elements.Space(np.float32, (work.observation,)),
        "reward": elements.Space(np.float32),
        **{name: elements.Space(bool) for name in ("is_first", "is_last", "is_terminal")},
    }
    actions = {"action": elements.Space(np.float32, (ACTIONS,), -1.0, 1.0)}
    agent = dreamerv3.agent.Agent(observations, actions, config_of(work, Path(dreamerv3.agent.__file__).parent))
    carry, updates = agent.init_train(work.batch), 0

    def once() -> float:
        nonlocal carry, updates
        batch = danijar_batch(work)
        start = time.perf_counter()
        data = internal.device_put(batch, agent.train_sharded)
        seed = agent._seeds(updates, agent.train_mirrored)
        carry, _, _ = agent.train(carry, {**data, "seed": seed})
        jax.block_until_ready((agent.params, carry))
        updates += 1
        return time.perf_counter() - start

    return once


def config_of(work: Work, folder: Path) -> Any:
    """Return the agent's configuration with the sizes of a work, as its make_agent builds it."""
    import elements
    from ruamel.yaml import YAML  # 1e-8 is text in the YAML 1.1 of PyYAML

    size = SIZES[work.size]
    config = elements.Config(YAML(typ="safe").load((folder / "configs.yaml").read_text())["defaults"])
    config = config.update({
        r".*\.rssm": {
            "deter": size.deter, "hidden": size.hidden, "stoch": size.stoch, "classes": size.classes,
            "blocks": size.blocks, "imglayers": size.prior_layers, "obslayers": size.posterior_layers,
        },
        r".*\.units": size.units,
        r"agent\.enc\.simple\.layers": size.encoder_layers,
        r"agent\.dec\.simple\.layers": size.decoder_layers,
        r"agent\.rewhead\.layers": size.reward_layers,
        r"agent\.conhead\.layers": size.continue_layers,
        r"agent\.policy\.layers": size.actor_layers,
        r"agent\.value\.layers": size.critic_layers,
        "agent.imag_length": work.horizon,
        "jax.platform": "cuda" if work.device == "cuda" else "cpu",
        "jax.compute_dtype": TYPES[work.dtype],
        "jax.prealloc": False,
        "jax.enable_policy": False,
        "batch_size": work.batch, "batch_length": work.length, "replay_context": 0,
        "logdir": tempfile.gettempdir(), "replica": 0, "replicas": 1,
    })  # fmt: skip
    names = ("logdir", "seed", "jax", "batch_size", "batch_length", "replay_context", "report_length", "replica",
             "replicas")  # fmt: skip
    return elements.Config(**config.agent, **{name: config[name] for name in names})


def danijar_batch(work: Work) -> dict[str, np.ndarray]:
    """Return a random batch with its names, in host memory."""
    numbers = random_numbers(work)
    return {
        "vector": numbers["obs"],
        "action": numbers["actions"],
        "reward": numbers["rewards"],
        "is_first": numbers["is_first"].astype(bool),
        "is_last": numbers["is_last"].astype(bool),
        "is_terminal": numbers["is_terminated"].astype(bool),
        "consec": np.zeros(work.shape, np.int32),
        "stepid": np.zeros((*work.shape, 20), np.uint8),
    }
