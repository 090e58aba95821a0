"""The example in the fused backend's README."""

import re
from pathlib import Path

from dreamer_exp.algorithms.dreamerv3.backends import fused


def test_the_example_of_running_one_stage_runs() -> None:
    readme = Path(fused.__path__[0]) / "README.md"
    (example,) = re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict[str, object] = {}
    exec(example, namespace)
    assert namespace["stage"] == 2
