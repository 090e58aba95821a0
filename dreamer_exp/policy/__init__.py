"""A trained policy outside of a run: on a robot, in a script, in another framework.

Importing this package needs torch, numpy and safetensors: no Ray, Hydra, OmegaConf or Gymnasium.
"""
