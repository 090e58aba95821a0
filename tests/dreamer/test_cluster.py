"""Where Ray runs."""

import socket

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.dreamer.cluster import ray_session
from tests.experiments import nano


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    asked = nano("hardware=ray_cluster", f"hardware.ray_address=127.0.0.1:{port}")
    with pytest.raises(UserError, match=r"hardware\.ray_address=.*no Ray cluster answers there"), ray_session(asked):
        pass
