"""What a resumed run refuses to change."""

import pytest

from dreamer_exp.checkpoints.resume.prepare import refuse_other_encoders
from dreamer_exp.config.errors import UserError

RAYS = "obs_contract.encoders.rays"


@pytest.mark.parametrize(("before", "now"), [("lidar", None), (None, "lidar"), ("lidar", "vector")])
def test_another_encoder_is_refused_by_name(before: str | None, now: str | None) -> None:
    line = f"{RAYS}={now or 'vector'}: the run was trained with {before or 'vector'}"
    with pytest.raises(UserError, match=line):
        refuse_other_encoders({"run.id": ("a", "b"), RAYS: (before, now)})


def test_an_encoder_that_is_written_out_is_the_same() -> None:
    refuse_other_encoders({RAYS: (None, "vector"), "algo.actor_lr": (1e-4, 3e-5)})
