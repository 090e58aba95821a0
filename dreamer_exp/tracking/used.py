"""The trackers behind each word of `tracking.name`, without importing one."""

WANDB, TENSORBOARD = "wandb", "tensorboard"
USED = {
    "wandb": (WANDB,),
    "tensorboard": (TENSORBOARD,),
    "wandb_tensorboard": (WANDB, TENSORBOARD),
    "none": (),
}
"""By `tracking.name`, the trackers that the run uses."""
