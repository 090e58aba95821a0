"""The world-model check: what the model imagines from real steps, compared with what the simulator then did.

The policy runs episodes on the evaluation's seeds, and start points are drawn from each. The world model sees the
episode up to the start point, and from there only the actions that were taken. It is compared with two predictors that
know the same actions: one repeats the last observation and reward and never ends the episode, the other is a ridge
regression fitted to the replay (linear.py). `horizon_H` is earned up to the last step at which the model is better than
both there and at most steps before (verdict.py).

The model sees the episode from its beginning, not only its last steps, because training imagines from such states too:
started in the middle of an episode, its posterior takes the robot to be standing still.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.open_loop import Imagined, as_vectors, imagine_open_loop
from dreamer_exp.algorithms.protocol import RecordedSteps
from dreamer_exp.algorithms.spec import spec_of as algorithm_spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.contract import Entry, ObservationContract
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.seeds import is_reserved
from dreamer_exp.envs.spec import spec_of
from dreamer_exp.evaluation.dispatch import never
from dreamer_exp.evaluation.world_model.figure import draw
from dreamer_exp.evaluation.world_model.ground_truth import CONTEXT, EPISODES, GroundTruth, collect
from dreamer_exp.evaluation.world_model.linear import LinearPredictor, fit
from dreamer_exp.evaluation.world_model.verdict import LINEAR, MODEL, STILL, better_steps, earned_steps, sentence
from dreamer_exp.rundir.atomic import replace_file, write_json

AHEAD = 15  # imagined steps, or horizon_H if that is more
DRAWS = 2  # imagined rollouts from each start point; errors are means over them

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
    module: RLModule,
    experiment: Experiment,
    path: Path,
    should_stop: Callable[[], bool] = never,
    recorded: RecordedSteps | None = None,
) -> dict[str, Any] | None:
    """Draw the check, write its curves as JSON next to the figure, and return them.

    The global random generators are not changed.

    Args:
        module: the network of the algorithm (policy_file.load_policy).
        experiment: gives the algorithm, the env, the contract and the evaluation seeds.
        path: the figure (PNG).
        should_stop: called at every step.
        recorded: steps of the replay, for the linear predictor; None leaves it out.

    Returns:
        `steps` from 0 (the last seen one) to H, `starts` (start points still running at each step), and `errors`: for
        each quantity the mean errors of `model`, `nothing_changes` and `linear`, and the steps at which the model is
        `better_at` than both. `earned` has the last step up to which horizon_H is earned for observation, reward and
        continue, null if nothing changed or ended; `verdict` is that in words. None, without a file, if there is no
        world model or no episode outlasts the context.

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
    parts = quantities(contract, experiment.env)
    predictions = {
        MODEL: [imagine_open_loop(imagine, module, *given, draw) for draw in range(DRAWS)],
        STILL: [nothing_changes(start_points.truth)],
    }
    if linear := _fit_linear(recorded, parts, ahead):
        predictions[LINEAR] = [_predict_linearly(linear, module, start_points)]
    in_units = {
        name: [replace(each, observation=contract.to_observed(each.observation)) for each in some]
        for name, some in predictions.items()
    }
    truth = replace(start_points.truth, observation=contract.to_observed(start_points.truth.observation))
    curves = error_curves(truth, in_units, parts, horizon) | {
        "linear_rows": linear.rows if linear else None,
        "held_out": all(is_reserved(experiment.evaluation.seed + place) for place in range(EPISODES)),
    }
    with replace_file(path) as temporary:
        units = {part.name: part.unit for part in parts}
        draw(curves, units, typical_rays(truth, in_units[MODEL][0], parts), temporary)
    write_json(path.with_suffix(".json"), curves)
    return curves


def _fit_linear(recorded: RecordedSteps | None, parts: list[Quantity], ahead: int) -> LinearPredictor | None:
    if recorded is None:
        return None
    entries = np.concatenate([np.arange(part.part.start, part.part.stop) for part in parts])
    return fit(recorded, entries, ahead)


def _predict_linearly(linear: LinearPredictor, module: RLModule, points: GroundTruth) -> Imagined:
    seen = points.seen.shape[1]
    actions = as_vectors(points.actions, module.action_space)[:, seen - 1 :]
    return linear.predict(points.seen[:, -1], actions, points.truth)


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


def error_curves(
    truth: Imagined, predictions: Mapping[str, list[Imagined]], parts: list[Quantity], horizon: int
) -> dict[str, Any]:
    """Return the curves of `draw_imagination`: errors averaged over start points, vector entries and rollouts.

    Args:
        truth: what the simulator did.
        predictions: by predictor; of the model, one rollout for each draw of its latents.
        parts: the quantities of the observation.
        horizon: horizon_H of the training.
    """
    curves = {name: [_errors(rollout, truth, parts) for rollout in rollouts] for name, rollouts in predictions.items()}
    errors: dict[str, Any] = {}
    for quantity in curves[MODEL][0]:
        means = {name: np.mean([curve[quantity] for curve in some], 0) for name, some in curves.items()}
        errors[quantity] = {name: _to_json(mean) for name, mean in means.items()}
        errors[quantity]["better_at"] = better_steps(errors[quantity])
    compared = (parts[0].name, "reward", "continue")
    earned = {name: earned_steps(errors[name], horizon) for name in compared}
    running = np.isfinite(truth.reward).sum(0)
    return {
        "context_at_least": CONTEXT,
        "horizon_H": horizon,
        "verdict": sentence(horizon, earned, LINEAR in predictions),
        "earned": earned,
        "latents": "drawn, as in training",
        "draws": len(predictions[MODEL]),
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
    """Return mean errors (H+1,) by name; NaN at steps without a start point.

    Observations and rewards have absolute errors. `continue` has the squared error of the probability that the episode
    goes on up to this step, which a predictor that always expects it to go on does not minimise.
    """
    difference = np.abs(predicted.observation - truth.observation)  # (N, H+1, O)
    by_name = {part.name: part.scale * difference[..., part.part].mean(-1) for part in parts}
    by_name["reward"] = np.abs(predicted.reward - truth.reward)
    by_name["continue"] = np.square(survival(predicted.proceeds) - survival(truth.proceeds))
    return {name: _mean_of_known(error) for name, error in by_name.items()}


def _mean_of_known(errors: NDArray[Any]) -> NDArray[Any]:
    """Return the mean over the rows (N, H+1) that are not NaN; NaN without one."""
    known = np.isfinite(errors)
    counts = np.where(known.any(0), known.sum(0), np.nan)
    mean: NDArray[Any] = np.where(known, errors, 0.0).sum(0) / counts
    return mean


def survival(proceeds: Array) -> NDArray[np.float64]:
    """Return the probability (N, H+1) that the episode continues up to each step, 1 at the last seen one.

    Args:
        proceeds: the probability at each step. In the ground truth it is 0 where an episode terminates and NaN after
            its end; a terminated episode has ended at all later steps, of a truncated one they are unknown (NaN).
    """
    kept = proceeds.astype(np.float64)
    kept[:, 0] = 1.0
    has_ended = np.maximum.accumulate(kept == 0.0, axis=1)
    result: NDArray[np.float64] = np.where(has_ended, 0.0, np.cumprod(kept, axis=1))
    return result


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
