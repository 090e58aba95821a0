"""Names that W&B refuses are refused before anything starts."""

import pytest
import wandb

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.schema import TrackingConfig
from dreamer_exp.planning.resolve import resolve
from dreamer_exp.tracking.wandb.names import NOT_IN_PROJECT, PROJECT_CHARACTERS, TAG_CHARACTERS, check_names
from tests.experiments import machine, nano

PROJECTS = ["a", "a b", "x" * PROJECT_CHARACTERS, "x" * (PROJECT_CHARACTERS + 1), *(f"a{c}b" for c in NOT_IN_PROJECT)]
TAGS = ["a", "", "x" * TAG_CHARACTERS, "x" * (TAG_CHARACTERS + 1), " ", "a/b"]


def is_refused(tracking: TrackingConfig) -> bool:
    try:
        check_names(tracking)
    except UserError:
        return True
    return False


def wandb_refuses(**settings: object) -> bool:
    try:
        wandb.Settings(**settings)
    except (wandb.UsageError, ValueError):
        return True
    return False


@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_is_refused_where_wandb_refuses_it(project: str) -> None:
    assert is_refused(TrackingConfig(project=project)) == wandb_refuses(project=project)


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_is_refused_where_wandb_refuses_it(tag: str) -> None:
    assert is_refused(TrackingConfig(tags=["first", tag])) == wandb_refuses(run_tags=["first", tag])


def test_a_project_without_a_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"tracking\.project has 0 characters; a project of W&B has 1 to 128"):
        check_names(TrackingConfig(project=""))


def test_without_wandb_the_names_do_not_matter() -> None:
    check_names(TrackingConfig(name="none", project="a/b", tags=[""]))


def test_a_run_is_refused_before_it_starts() -> None:
    with pytest.raises(UserError, match=r"tracking\.tags: '' has 0 characters; a tag of W&B has 1 to 64\."):
        resolve(nano("tracking.tags=['']"), machine())
