"""Environments. Importing this registers crowd_nav with Gymnasium and loads no simulator."""

import gymnasium

CROWD_NAV_ID = "dreamer_exp/CrowdNav-v0"

if CROWD_NAV_ID not in gymnasium.registry:
    gymnasium.register(id=CROWD_NAV_ID, entry_point="dreamer_exp.envs.crowd_nav.env:CrowdNavEnv")
