"""The number of torch's threads."""

import torch

from dreamer_exp.threads import one_thread


def test_one_thread_ends_with_its_block() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
