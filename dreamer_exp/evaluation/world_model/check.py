"""The world-model check: what the model imagines from real steps, compared with what the simulator then did.

The policy runs the evaluation's episodes, and one start point is drawn from each. The world model sees the episode up
to the start point, and from there only the actions that were taken. It is compared with a predictor that repeats the
last observation and reward and never ends the episode.

The model sees the episode from its beginning, not only its last steps, because training imagines from such states too:
started in the middle of an episode, its posterior takes the robot to be standing still.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.open_loop import Imagined, imagine_open_loop
from dreamer_exp.algorithms.spec import spec_of as algorithm_spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.contract import Entry, ObservationContract
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.spec import spec_of
from dreamer_exp.evaluation.dispatch import never
from dreamer_exp.evaluation.world_model.figure import draw
from dreamer_exp.evaluation.world_model.ground_truth import CONTEXT, collect
from dreamer_exp.rundir.atomic import replace_file, write_json

AHEAD = 15  # imagined steps, or horizon_H if that is more
DRAWS = 8  # imagined rollouts from each start point; errors are means over them

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Quantity:
    """Part of the observation whose error is reported.

    Attributes:
        name: its name in the curves.
        unit: its unit in the figure.
        part: its place in the observation vector.
        scale: units per 1 in the vector.
    """

    name: str
    unit: str
    part: slice
    scale: float = 1.0


def draw_imagination(
    module: RLModule, experiment: Experiment, path: Path, should_stop: Callable[[], bool] = never
) -> dict[str, Any] | None:
    """Draw the check, write its curves as JSON next to the figure, and return them.

    The global random generators are not changed.

    Args:
        module: the network of the algorithm (policy_file.load_policy).
        experiment: gives the algorithm, the env, the contract and the evaluation seeds.
        path: the figure (PNG).
        should_stop: called at every step.

    Returns:
        `steps` from 0 (the last seen one) to H, `starts` (start points still running at each step), and `errors`: for
        each quantity the mean absolute errors of `model` and `nothing_changes`, and the steps at which the model is
        `better_at`. None, without a file, if there is no world model or no episode outlasts the context.

    Raises:
        Stopped: `should_stop` returned True.
    """
    spec = algorithm_spec_of(experiment.algo)
    imagine = spec.load().imagine
    if spec.imagination is None or imagine is None:
        return None
    horizon, discount = spec.imagination(experiment.algo)
    ahead = max(AHEAD, horizon)
    start_points = collect(module, experiment, ahead, should_stop)
    if start_points is None:
        return None
    given = (start_points.seen, start_points.is_first, start_points.actions, discount)
    contract = contract_of(experiment.env, experiment.obs_contract)
    truth, *rollouts = (
        replace(imagined, observation=contract.to_observed(imagined.observation))
        for imagined in (
            start_points.truth,
            *(imagine_open_loop(imagine, module, *given, draw) for draw in range(DRAWS)),
        )
    )
    parts = quantities(contract, experiment.env)
    curves = error_curves(truth, rollouts, parts, horizon)
    with replace_file(path) as temporary:
        units = {part.name: part.unit for part in parts}
        draw(curves, units, typical_rays(truth, rollouts[0], parts), temporary)
    write_json(path.with_suffix(".json"), curves)
    return curves


def quantities(contract: ObservationContract, env: EnvConfig) -> list[Quantity]:
    """Return the newest row of each observed entry whose unit is known (EnvSpec.units); else the complete vector."""
    entries = {entry.key: entry for entry in contract.entries}
    units = spec_of(env).units(env)
    parts = [
        Quantity(key, unit.name, _newest(entries[key]), unit.scale) for key, unit in units.items() if key in entries
    ]
    return parts or [Quantity("observation", "env units", slice(0, contract.size))]


def _newest(entry: Entry) -> slice:
    """Return the last row of a stack, whose rows run from old to new, or all of an unstacked entry."""
    return slice(entry.stop - entry.shape[-1], entry.stop)


def error_curves(truth: Imagined, rollouts: list[Imagined], parts: list[Quantity], horizon: int) -> dict[str, Any]:
    """Return the curves of `draw_imagination`: errors averaged over running start points, vector entries and rollouts.

    Args:
        truth: what the simulator did.
        rollouts: what the model imagined, one for each draw of its latents.
        parts: the quantities of the observation.
        horizon: horizon_H of the training.
    """
    errors = {}
    of_rollouts = [_errors(rollout, truth, parts) for rollout in rollouts]
    for name, baseline in _errors(nothing_changes(truth), truth, parts).items():
        curve = np.mean([of_rollout[name] for of_rollout in of_rollouts], 0)
        errors[name] = {
            "model": _to_json(curve),
            "nothing_changes": _to_json(baseline),
            "better_at": [step for step in range(1, len(curve)) if curve[step] < baseline[step]],
        }
    running = np.isfinite(truth.reward).sum(0)
    return {
        "context_at_least": CONTEXT,
        "horizon_H": horizon,
        "latents": "drawn, as in training",
        "draws": len(rollouts),
        "steps": list(range(len(running))),
        "starts": running.tolist(),
        "errors": errors,
    }


def nothing_changes(truth: Imagined) -> Imagined:
    """Return the predictor to beat: the last seen observation and reward at every step, and no end."""
    return Imagined(
        np.broadcast_to(truth.observation[:, :1], truth.observation.shape),
        np.broadcast_to(truth.reward[:, :1], truth.reward.shape),
        np.ones_like(truth.proceeds),
    )


def _errors(predicted: Imagined, truth: Imagined, parts: list[Quantity]) -> dict[str, NDArray[Any]]:
    """Return mean absolute errors (H+1,) by name; NaN at steps without a running start point."""
    difference = np.abs(predicted.observation - truth.observation)  # (N, H+1, O)
    by_name = {part.name: part.scale * difference[..., part.part].mean(-1) for part in parts}
    by_name["reward"] = np.abs(predicted.reward - truth.reward)
    by_name["continue"] = np.abs(predicted.proceeds - truth.proceeds)
    running = np.isfinite(truth.reward)
    counts = np.where(running.any(0), running.sum(0), np.nan)
    return {name: np.where(running, error, 0.0).sum(0) / counts for name, error in by_name.items()}


def _to_json(curve: NDArray[Any]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in curve]


def typical_rays(truth: Imagined, rollout: Imagined, parts: list[Quantity]) -> dict[str, Array] | None:
    """Return real and imagined rays (H+1, R) in metres at one start point; None without rays.

    It is the start point with the median error at the last step among those that run to the end, or the first one if
    none does.
    """
    if parts[0].name != "rays":
        return None
    real, imagined = (parts[0].scale * x.observation[..., parts[0].part] for x in (truth, rollout))
    error = np.abs(imagined - real).mean(-1)[:, -1]
    complete = np.flatnonzero(np.isfinite(error))
    typical = int(complete[np.argsort(error[complete])[len(complete) // 2]]) if len(complete) else 0
    return {"simulator": real[typical], "imagined": imagined[typical]}
