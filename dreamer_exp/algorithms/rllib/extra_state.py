"""Learners whose state holds more than RLlib's."""

from typing import Any

EXTRA_STATE = "extra_state"  # key of get_extra_state() in the learner's state


class ExtraState:
    """Base, before RLlib's class, of a learner whose state has an entry EXTRA_STATE from its `get_extra_state`."""

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Return RLlib's state of the learner, with the extra state."""
        rllib: Any = super()
        state: dict[str, Any] = rllib.get_state(components, not_components=not_components, **kwargs)
        if self._check_component(EXTRA_STATE, components, not_components):  # type: ignore[attr-defined]
            state[EXTRA_STATE] = self.get_extra_state()  # type: ignore[attr-defined]
        return state
