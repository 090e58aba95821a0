"""The metric names of a run: an interface to compare, W&B dashboards and users' scripts."""

from dreamer_exp.config.errors import UserError, nearest

LEARNER = "dreamerv3"  # name of the trained policy in evaluation.jsonl, next to the baselines
WINDOW = 100  # last finished episodes in the *_window metrics

# our name: the names in dreamerv3 and in RLlib 2.60; None: null in the rows of that algorithm
LEARNER_METRICS: dict[str, tuple[str | None, str | None]] = {
    "loss/total": ("total", "total_loss"),
    "loss/world_model": ("world_model", "WORLD_MODEL_L_total"),
    "loss/decoder": ("decoder", "WORLD_MODEL_L_decoder"),
    "loss/reward": ("reward", "WORLD_MODEL_L_reward"),
    "loss/continue": ("continue", "WORLD_MODEL_L_continue"),
    "loss/prediction": (None, "WORLD_MODEL_L_prediction"),
    "loss/dynamics": ("dynamics", "WORLD_MODEL_L_dynamics"),
    "loss/representation": ("representation", "WORLD_MODEL_L_representation"),
    "loss/actor": ("actor", "ACTOR_L_total"),
    "loss/actor_reinforce": (None, "ACTOR_L_neglogp_reinforce_term"),
    "loss/actor_entropy_term": (None, "ACTOR_L_neg_entropy_term"),
    "loss/critic": ("critic", "CRITIC_L_total"),
    "loss/critic_replay": ("critic_replay", None),
    "loss/critic_value_targets": (None, "CRITIC_L_neg_logp_of_value_targets"),
    "loss/critic_slow_regulariser": (None, "CRITIC_L_slow_critic_regularization"),
    "actor_entropy": ("entropy", "ACTOR_action_entropy"),
    "advantage_abs_mean": ("advantage", None),
    "return_scale": ("return_scale", None),
    "return_percentile_5": ("return_low", "ACTOR_value_targets_pct5_ema"),
    "return_percentile_95": ("return_high", "ACTOR_value_targets_pct95_ema"),
    "grad_norm/world_model": ("grad_norm_world_model", "WORLD_MODEL_gradients_global_norm"),
    "grad_norm/actor": ("grad_norm_actor", "ACTOR_gradients_global_norm"),
    "grad_norm/critic": ("grad_norm_critic", "CRITIC_gradients_global_norm"),
    "grad_max/world_model": (None, "WORLD_MODEL_gradients_maxabs_after_clipping"),
    "grad_max/actor": (None, "ACTOR_gradients_maxabs_after_clipping"),
    "grad_max/critic": (None, "CRITIC_gradients_maxabs_after_clipping"),
}

ROW = (
    "iteration",
    "env_steps",
    "updates",
    "episodes",
    "episodes_total",
    "episodes_cut_total",
    "env_faults",
    "episode_return_mean",
    "episode_length_mean",
    "episode_return_window",
    "success_rate_window",
    "collision_rate_window",
    "timeout_rate_window",
    "training_ratio_actual",
    *LEARNER_METRICS,
    "replay/steps",
    "replay/bytes",
    "time/sample_s",
    "time/update_s",
    "time/total_s",
    "rate/env_steps_per_s",
    "rate/updates_per_s",
    "memory/rss_bytes",
    "memory/env_runners_rss_bytes",
    "memory/gpu_bytes",
)

# added to the last row in run_summary.json's `final`: of the last evaluation, else of the window
FINAL = ("success_rate", "return_mean")


def check_objective(name: str, algorithm: str) -> None:
    """Refuse a `run.objective` that no run has, or that this algorithm does not report.

    Raises:
        UserError: It is not a metric, or null in all rows of this algorithm.
    """
    if name not in (*FINAL, *ROW):
        hint = nearest(name, (*FINAL, *ROW))
        raise UserError(
            f"run.objective={name!r} is not a metric of a run.{hint} Usual: {', '.join(FINAL)}, loss/world_model."
        )
    of_dreamerv3, of_rllib = LEARNER_METRICS.get(name, ("", ""))
    if (of_dreamerv3 if algorithm == "dreamerv3" else of_rllib) is None:
        raise UserError(
            f"run.objective={name!r} is null in all rows of algo={algorithm}. "
            f"Usual: {', '.join(FINAL)}, loss/world_model."
        )
