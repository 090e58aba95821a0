"""What W&B accepts as project and tags, checked without importing wandb (wandb.sdk.wandb_settings.Settings)."""

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import TrackingConfig
from dreamer_exp.tracking.used import USED, WANDB

PROJECT_CHARACTERS = 128
NOT_IN_PROJECT = "/\\#?%:"
TAG_CHARACTERS = 64


def check_names(tracking: TrackingConfig) -> None:
    """Raise UserError for a project or a tag that W&B refuses, which it does only after Ray has started."""
    if WANDB not in USED[tracking.name]:
        return
    _check_project(tracking.project)
    for tag in tracking.tags:
        if not 1 <= len(tag) <= TAG_CHARACTERS:
            shown = tag if len(tag) <= TAG_CHARACTERS else f"{tag[:20]}..."
            raise UserError(
                f"tracking.tags: {shown!r} has {len(tag)} characters; a tag of W&B has 1 to {TAG_CHARACTERS}."
            )


def _check_project(project: str) -> None:
    found = [character for character in NOT_IN_PROJECT if character in project]
    if found:
        raise UserError(
            f"tracking.project={project!r}: W&B takes no {' '.join(found)} in it; use letters, digits, - and _."
        )
    if not 1 <= len(project) <= PROJECT_CHARACTERS:
        raise UserError(
            f"tracking.project has {len(project)} characters; a project of W&B has 1 to {PROJECT_CHARACTERS}."
        )
