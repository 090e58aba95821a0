"""The learner, and RLlib's config with it."""

import torch
from torch import Tensor

from decayed_dreamer.config import resolved
from dreamer_exp.algorithms.dreamerv3.configure import configure as configure_dreamerv3
from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.rllib_config import PublishedDreamerV3Config
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.config.experiment import Experiment


class DecayedLearner(AgentLearner):
    """AgentLearner that reduces all weights after each update, and reports their norm."""

    def _make_update(self) -> None:
        super()._make_update()
        update = self.update_once

        def update_and_decay(batch: Batch) -> tuple[dict[str, Tensor], State]:
            figures, states = update(batch)
            with torch.no_grad():
                trained = [weight for weight in self.agent.parameters() if weight.requires_grad]
                for weight in trained:
                    weight.mul_(1.0 - self.config.weight_decay)
                norm = torch.stack([weight.square().sum() for weight in trained]).sum().sqrt()
            return {**figures, "norm": norm}, states

        self.update_once = update_and_decay


def configure(experiment: Experiment) -> PublishedDreamerV3Config:
    """Return RLlib's config of the experiment, without environment, processes and seed."""
    config = configure_dreamerv3(experiment)
    config.weight_decay = resolved(experiment).weight_decay
    config.learners(learner_class=DecayedLearner)
    return config
