"""Act with an exported policy without torch: numpy and onnxruntime alone.

    dreamer-exp export outputs/<run> out/
    python examples/onnx_client.py out/policy.onnx [SEED]     # drives an episode of crowd_nav

Copy `OnnxPolicy` to a robot; only `main` needs the environment.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime


class OnnxPolicy:
    """An exported policy of one robot, with its recurrent state.

    Attributes:
        about: the file's description: observation entries with their units, `period_s`, action bounds, contract hash.
        value: the critic's estimate of the return after the last action; None if the file has no critic.
    """

    def __init__(self, path: str, seed: int = 0) -> None:
        """Load a file with one thread; the seed is that of the latent's noise."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.about: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map["dreamer_exp_policy"])
        if self.about["format"] != 1:
            raise ValueError(f"{path}: format={self.about['format']} is unknown here, allowed: 1")
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Begin an episode."""
        self._rng = np.random.default_rng(self._seed)
        initial = self.about["initial_state"]
        self._state = {
            name: np.array(initial.get(name, np.zeros(shape)), np.float32)[None]
            for name, shape in self.about["state_shapes"].items()
        }
        self.value: float | None = None

    def act(self, observation: Mapping[str, Any]) -> Any:
        """Return the environment's action for its observation: an array for each key.

        Raises:
            ValueError: an entry is missing, of another shape, or not finite.
        """
        vector = self._vector(observation)  # refused before a random number is drawn
        noise = self.about["noise"]
        # a normal number of 0 takes the most likely action
        draws = np.concatenate([self._rng.random(noise["uniform"]), np.zeros(noise["normal"])])
        inputs = {f"state_{name}": part for name, part in self._state.items()}
        inputs |= {"observation": vector[None], "noise": draws.astype(np.float32)[None]}
        outputs = dict(zip(self._outputs, self._session.run(None, inputs), strict=True))
        self._state = {name: outputs[f"next_{name}"] for name in self._state}
        self.value = float(outputs["value"][0]) if "value" in outputs else None
        return outputs["action"][0]

    def _vector(self, observation: Mapping[str, Any]) -> np.ndarray:
        entries, frames = self.about["observation"]["entries"], self.about["observation"]["frames"]
        vector = np.empty(self.about["observation"]["size"], np.float32)
        for entry in entries:
            key, shape = entry["key"], tuple(entry["shape"])
            if key not in observation:
                raise ValueError(f"{key}: missing from the observation, which has: {', '.join(observation)}")
            value = np.asarray(observation[key], np.float32)
            if frames == "latest" and value.ndim == len(shape) + 1:
                value = value[-1]
            if value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"{key}: shape {value.shape}; the policy needs finite numbers of shape {shape}")
            vector[entry["start"] : entry["stop"]] = value.ravel()
        return vector


def main(path: str, seed: int = 1_000_000) -> dict[str, Any]:
    """Drive an episode of crowd_nav; return its last info."""
    from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv

    policy, env = OnnxPolicy(path), CrowdNavEnv()
    observation, info = env.reset(seed=seed)
    total, steps, ended = 0.0, 0, False
    while not ended:
        if steps % policy.about["action_repeat"] == 0:  # else the last action is held
            action = policy.act(observation)
        observation, reward, terminated, truncated, info = env.step(action)
        total, steps, ended = total + float(reward), steps + 1, terminated or truncated
    env.close()
    print(f"{info['outcome']} after {steps} steps, return {total:.2f}")
    return info


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        raise SystemExit("usage: python examples/onnx_client.py POLICY.onnx [SEED]")
    main(sys.argv[1], *map(int, sys.argv[2:3]))
