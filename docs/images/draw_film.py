"""Draw docs/images/crowd_nav.gif: a trained policy in three scenario families of crowd_nav.

python docs/images/draw_film.py [POLICY]: what `load_policy` takes; pretrained:robot_sf by default
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from dreamer_exp import load_policy
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.evaluation.video.camera import Camera
from dreamer_exp.evaluation.video.write import write_film
from dreamer_exp.policy.acting import Policy

EPISODES = (("dense", 900_004), ("intersection", 900_006), ("doorway", 900_006))
SIDE, CAPTION, EVERY, STEP_S = 280, 24, 3, 0.1
HERE = Path(__file__).parent


def drive(policy: Policy, scenario: str, seed: int) -> tuple[list[Image.Image], str]:
    """Return the pictures of an episode, SIDE x SIDE pixels, and its outcome."""
    env, camera = CrowdNavEnv(scenario=scenario), Camera()
    observation, info = env.reset(seed=seed)
    policy.reset(seed=seed)
    camera(env)
    done = False
    while not done:
        observation, _, terminated, truncated, info = env.step(policy.act(observation))
        camera(env)
        done = terminated or truncated
    numbers = [*range(0, len(camera.states) - 1, EVERY), len(camera.states) - 1]
    size = (SIDE, SIDE)
    return [camera.picture(number, True).resize(size, Image.Resampling.LANCZOS) for number in numbers], info["outcome"]


def main() -> None:
    """Draw the film."""
    policy = load_policy(sys.argv[1] if len(sys.argv) > 1 else "pretrained:robot_sf")
    films = []
    for scenario, seed in EPISODES:
        pictures, outcome = drive(policy, scenario, seed)
        print(scenario, seed, outcome, f"{len(pictures) * EVERY * STEP_S:.1f} s", flush=True)
        films.append((f"{scenario}: {outcome}", pictures))
    frames = []
    for number in range(max(len(pictures) for _, pictures in films)):
        frame = Image.new("RGB", (len(films) * SIDE, SIDE + CAPTION), "white")
        pen = ImageDraw.Draw(frame)
        for place, (name, pictures) in enumerate(films):
            frame.paste(pictures[min(number, len(pictures) - 1)], (place * SIDE, CAPTION))
            text = name if number >= len(pictures) - 1 else name.partition(":")[0]
            pen.text((place * SIDE + 8, 4), text, fill="black", font=ImageFont.load_default(14))
        frames.append(frame)
    write_film(HERE / "crowd_nav.gif", frames, EVERY * STEP_S / 2)


if __name__ == "__main__":
    main()
