"""Draw docs/images/crowd_nav.png: six scenario families with the ORCA baseline.

python docs/images/draw_gallery.py
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from dreamer_exp.envs.crowd_nav.baselines import Privileged
from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv

FAMILIES = ("crossing", "corridor", "doorway", "intersection", "blocks", "dense")
SEED, STEPS, SIDE, CAPTION = 7, 60, 320, 24


def scene(family: str) -> Image.Image:
    """Return the family after STEPS steps, SIDE x SIDE pixels."""
    env = CrowdNavEnv(scenario=family, render_mode="rgb_array")
    observation, _ = env.reset(seed=SEED)
    driver = Privileged("orca", env, SEED)
    driver.reset()
    for _ in range(STEPS):
        observation, _, terminated, truncated, _ = env.step(driver.act(observation))
        if terminated or truncated:
            break
    return Image.fromarray(env.render()).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def main() -> None:
    """Draw the picture."""
    picture = Image.new("RGB", (3 * SIDE, 2 * (SIDE + CAPTION)), "white")
    draw = ImageDraw.Draw(picture)
    for index, family in enumerate(FAMILIES):
        left, top = index % 3 * SIDE, index // 3 * (SIDE + CAPTION)
        draw.text((left + 8, top + 4), family, fill="black", font=ImageFont.load_default(14))
        picture.paste(scene(family), (left, top + CAPTION))
    picture.quantize(64).save(Path(__file__).parent / "crowd_nav.png", optimize=True)


if __name__ == "__main__":
    main()
