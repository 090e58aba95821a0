"""The world-model check: what the model imagines from real steps on, against what the simulator then did.

The policy acts in the evaluation's episodes; in each, one start point is drawn. From there the world model, which saw
the episode until then, gets only the actions that were taken. Beside it stands the predictor that says nothing changes:
the last observation and reward for ever, and no end.

The whole episode is seen, and not its last steps alone, because training imagines from such states too: a filter that
begins in the middle of an episode takes the robot for a standing one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.rl_module.rl_module import RLModule

from dreamer_exp.algorithms.open_loop import Imagined, imagine_open_loop
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.contract import Entry, ObservationContract
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.spec import spec_of
from dreamer_exp.evaluation.rollout import never
from dreamer_exp.evaluation.world_model.figure import draw
from dreamer_exp.evaluation.world_model.ground_truth import CONTEXT, drive
from dreamer_exp.rundir.atomic import replace_file, write_json

AHEAD = 15  # imagined steps, or horizon_H where that is more
DRAWS = 8  # imaginations from each start point, over whose errors the mean is taken

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Quantity:
    """A part of the observation whose error is told: its place in the vector, and how many units a 1 there is."""

    name: str
    unit: str
    part: slice
    scale: float = 1.0


def draw_imagination(
    module: RLModule, experiment: Experiment, path: Path, should_stop: Callable[[], bool] = never
) -> dict[str, Any] | None:
    """Draws the check into `path` (PNG), writes its curves beside it (.json), and returns them.

    Training's random streams are left as they were.

    Args:
        module: the whole network of either learner (policy_file.load_policy).
        experiment: which env, contract, evaluation seeds, horizon_H and gamma.
        path: of the figure.
        should_stop: asked at every step.

    Returns:
        `steps` 0 to H (0 is the last seen one), `starts` (points still running at each step), and for each name in
        `errors` the mean absolute errors of `model` and `nothing_changes` and the steps at which the model is
        `better_at`. None, and no file, where no episode outlasts the context.

    Raises:
        Stopped: `should_stop` said so.
    """
    ahead = max(AHEAD, experiment.algo.horizon_H)
    futures = drive(module, experiment, ahead, should_stop)
    if futures is None:
        return None
    given = (futures.seen, futures.is_first, futures.actions, experiment.algo.gamma)
    dreams = [imagine_open_loop(module, *given, draw) for draw in range(DRAWS)]
    parts = quantities(contract_of(experiment.env, experiment.obs_contract), experiment.env)
    curves = tell(futures.truth, dreams, parts, experiment.algo.horizon_H)
    with replace_file(path) as temporary:
        draw(curves, {part.name: part.unit for part in parts}, rays_of(futures.truth, dreams[0], parts), temporary)
    write_json(path.with_suffix(".json"), curves)
    return curves


def quantities(contract: ObservationContract, env: EnvConfig) -> list[Quantity]:
    """Return the newest row of each observed entry whose unit is known (EnvSpec.units); else the complete vector."""
    entries = {entry.key: entry for entry in contract.entries}
    units = spec_of(env).units(env)
    parts = [
        Quantity(key, unit.name, _newest(entries[key]), unit.scale) for key, unit in units.items() if key in entries
    ]
    return parts or [Quantity("observation", "its own units", slice(0, contract.size))]


def _newest(entry: Entry) -> slice:
    """The last row of a stack, whose rows come oldest first; all of an entry that is no stack."""
    return slice(entry.stop - entry.shape[-1], entry.stop)


def tell(truth: Imagined, dreams: list[Imagined], parts: list[Quantity], horizon: int) -> dict[str, Any]:
    """The curves: errors averaged over start points that still run, a quantity's numbers, and the dreams."""
    still = nothing_changes(truth)
    errors = {}
    of_dreams = [_errors(dream, truth, parts) for dream in dreams]
    for name, baseline in _errors(still, truth, parts).items():
        curve = np.mean([of_dream[name] for of_dream in of_dreams], 0)
        errors[name] = {
            "model": _plain(curve),
            "nothing_changes": _plain(baseline),
            "better_at": [step for step in range(1, len(curve)) if curve[step] < baseline[step]],
        }
    running = np.isfinite(truth.reward).sum(0)
    return {
        "context_at_least": CONTEXT,
        "horizon_H": horizon,
        "latents": "drawn, as in training",
        "draws": len(dreams),
        "steps": list(range(len(running))),
        "starts": running.tolist(),
        "errors": errors,
    }


def nothing_changes(truth: Imagined) -> Imagined:
    """The predictor to beat: the last seen observation and reward at every step, and never an end."""
    return Imagined(
        np.broadcast_to(truth.observation[:, :1], truth.observation.shape),
        np.broadcast_to(truth.reward[:, :1], truth.reward.shape),
        np.ones_like(truth.proceeds),
    )


def _errors(said: Imagined, truth: Imagined, parts: list[Quantity]) -> dict[str, NDArray[Any]]:
    """Mean absolute errors (H+1,) by name; NaN where no start point runs any more."""
    apart = np.abs(said.observation - truth.observation)  # (N, H+1, O)
    by_name = {part.name: part.scale * apart[..., part.part].mean(-1) for part in parts}
    by_name["reward"] = np.abs(said.reward - truth.reward)
    by_name["continue"] = np.abs(said.proceeds - truth.proceeds)
    running = np.isfinite(truth.reward)
    counts = np.where(running.any(0), running.sum(0), np.nan)
    return {name: np.where(running, error, 0.0).sum(0) / counts for name, error in by_name.items()}


def _plain(curve: NDArray[Any]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in curve]


def rays_of(truth: Imagined, dream: Imagined, parts: list[Quantity]) -> dict[str, Array] | None:
    """Real and imagined rays (H+1, R) in metres at the start point whose last step's error is the median one of those
    that run to the end (of all, where none does); None without rays."""
    if parts[0].name != "rays":
        return None
    real, imagined = (parts[0].scale * x.observation[..., parts[0].part] for x in (truth, dream))
    error = np.abs(imagined - real).mean(-1)[:, -1]
    whole = np.flatnonzero(np.isfinite(error))
    typical = int(whole[np.argsort(error[whole])[len(whole) // 2]]) if len(whole) else 0
    return {"simulator": real[typical], "imagined": imagined[typical]}
