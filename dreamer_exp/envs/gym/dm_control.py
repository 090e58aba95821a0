"""DeepMind Control's tasks as Gymnasium ids, such as `dm_control/walker-walk-v0`; shimmy registers them."""

import importlib.util
import logging
import warnings

from dreamer_exp.config.errors import UserError

NAMESPACE = "dm_control/"
PACKAGES = ("shimmy", "dm_control", "mujoco")
HOW = "pip install 'dreamer-exp[dmc]' (in a checkout of this project: pip install -e '.[dmc]')"


def register(env_id: str, label: str) -> None:
    """Register the tasks, if the id is one of them; the first time in a process it takes some seconds.

    Raises:
        UserError: the extra is not installed.
    """
    if not env_id.startswith(NAMESPACE):
        return
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError(f"{label} needs {', '.join(missing)}, which this Python lacks: {HOW}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glfw, on a machine without a display
        importlib.import_module("shimmy")
    logging.getLogger("absl").setLevel(logging.ERROR)  # MuJoCo warns of dm_control's models, once an environment
