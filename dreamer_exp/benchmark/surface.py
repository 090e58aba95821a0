"""The benchmark's surface: the scenarios, seeds, horizon and step length of a protocol for Robot SF."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamer_exp.config.errors import UserError, first_line, nearest
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.map_runner import checkout
from dreamer_exp.envs.robot_sf.scenarios import REFUSALS
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.planning.protocol import read_protocol

CANONICAL = "robot_sf_s30_h600"
"""The protocol of the published figures."""


@dataclass(frozen=True)
class Surface:
    """What every planner is driven on.

    Attributes:
        name: of the protocol.
        matrix: the scenario file, relative to Robot SF's checkout.
        horizon: steps; a scenario's lower limit holds too.
        dt: seconds of a step.
        cells: scenarios and seeds.
    """

    name: str
    matrix: str
    horizon: int
    dt: float
    cells: tuple[EvaluationEpisode, ...]

    @property
    def path(self) -> Path:
        """The scenario file."""
        return checkout() / self.matrix

    def describe(self) -> str:
        """Return text such as "robot_sf_s30_h600: 48 scenarios x 30 seeds, horizon 600"; else the number of cells."""
        scenarios, seeds = (len({getattr(cell, name) for cell in self.cells}) for name in ("scenario", "seed"))
        product = f"{scenarios} scenarios x {seeds} seeds"
        cells = product if scenarios * seeds == len(self.cells) else f"{len(self.cells):,} cells"
        return f"{self.name}: {cells}, horizon {self.horizon}"

    def scenarios(self) -> dict[str, Any]:
        """Return the scenarios of the file by name, as Robot SF reads them; imports Robot SF.

        Raises:
            UserError: it cannot be read, or lacks a scenario of the cells.
        """
        try:
            entries = package.load().load_scenarios(self.path)
        except REFUSALS as error:
            raise UserError(f"protocol={self.name}: {self.path} cannot be read ({first_line(error)}).") from error
        named = {str(entry.get("name") or entry.get("scenario_id")): entry for entry in entries}
        wanted = (str(cell.scenario) for cell in self.cells)
        if unknown := next((name for name in wanted if name not in named), None):
            raise UserError(
                f"protocol={self.name}: {self.matrix} has no scenario {unknown!r}.{nearest(unknown, [*named])} Correct "
                "the name, or remove it."
            )
        return named


def read_surface(name: str) -> Surface:
    """Return the surface of a protocol, with its scenario file in Robot SF's checkout.

    Raises:
        UserError: the protocol is wrong or not one of Robot SF's scenarios, or the checkout lacks its scenario file.
    """
    protocol = read_protocol(name)
    env: dict[str, Any] = dict(protocol.env)
    matrix = (env.get("scenario_matrix") or {}).get("path")
    listed = protocol.episodes is not None and all(isinstance(scenario, str) for _, scenario in protocol.episodes)
    if env.get("name") != "robot_sf" or not listed or not isinstance(matrix, str):
        raise UserError(
            f"protocol={name} lists no scenarios of Robot SF; use robot_sf_smoke, robot_sf_dev, robot_sf_s30_h600, or "
            "a file with env.name=robot_sf, env.scenario_matrix.path, seeds and scenarios."
        )
    horizon, dt = env.get("max_steps"), env.get("dt", 0.1)
    if type(horizon) is not int or horizon < 1:
        raise UserError(f"protocol={name}: env.max_steps={horizon!r} has to be the horizon in steps, as 600.")
    if not isinstance(dt, float) or not 0.0 < dt <= 1.0:
        raise UserError(f"protocol={name}: env.dt={dt!r} has to be seconds per step, as 0.1.")
    surface = Surface(
        protocol.name, matrix, horizon, dt, tuple(EvaluationEpisode(*each) for each in protocol.episodes or ())
    )
    if not surface.path.is_file():
        raise UserError(f"protocol={name}: {surface.path} is missing from Robot SF's checkout.")
    return surface
