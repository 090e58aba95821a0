"""The recording that the frames of a film are drawn from."""

import io
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.scene import Scene, SceneState, scene_of, state_of
from dreamer_exp.envs.scene_picture import draw_scene

MODE = "rgb_array"
DEFAULT_FPS = 30.0  # for an env without render_fps


class Camera:
    """A `Watch` that keeps the states of the scene or, if the environment reports none, its rendered frames."""

    def __init__(self) -> None:
        self.scene: Scene | None = None
        self.states: list[SceneState] = []
        self.frames: list[bytes] = []  # PNG files of some kilobytes
        self.fps = DEFAULT_FPS

    def __call__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Keep the state, or the frame; raise UserError if there is neither."""
        state = state_of(env)
        if state is not None and self.scene is None:
            self.scene = scene_of(env)
        if state is None or self.scene is None:
            self._keep_frame(env)
        else:
            self.states.append(state)

    @property
    def times_s(self) -> list[float]:
        """Seconds since the beginning of the episode, of each picture."""
        return [state.time_s for state in self.states] or [number / self.fps for number in range(len(self.frames))]

    def picture(self, number: int, lidar: bool) -> Image.Image:
        """Return a picture, with or without lidar if it is drawn from the scene."""
        if self.scene is None:
            return Image.open(io.BytesIO(self.frames[number])).convert("RGB")
        before = self.states[number - 1] if number else None
        path = [state.position for state in self.states[: number + 1]]
        return draw_scene(self.scene, self.states[number], before, path, lidar=lidar)

    def _keep_frame(self, env: gymnasium.Env[Any, Any]) -> None:
        try:
            frame: Any = env.render()
        except (gymnasium.error.Error, NotImplementedError) as error:  # also without a rendering package
            raise UserError(f"no frames: {str(error) or type(error).__name__}") from error
        if not isinstance(frame, np.ndarray):
            raise UserError(f"no frames: render_mode={MODE} gives {type(frame).__name__}")
        png = io.BytesIO()
        Image.fromarray(frame).save(png, "PNG", compress_level=1)
        self.frames.append(png.getvalue())
        self.fps = float(env.metadata.get("render_fps") or DEFAULT_FPS)
