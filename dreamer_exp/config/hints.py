"""Hints for a word that is an option or a value of another group or key: `quickstart`, `env=quickstart`."""

from collections.abc import Iterator

from dreamer_exp.config.compose import config_dirs
from dreamer_exp.config.errors import nearest_word
from dreamer_exp.config.help_text import groups, options
from dreamer_exp.config.schema_keys import declared_keys


def option_hint(word: str) -> str:
    """Return ` Did you mean 'GROUP=OPTION'?` for a word that an option or a value resembles; else an empty text."""
    settings: dict[str, str] = {}
    for key, value in _settings():
        settings.setdefault(value, f"{key}={value}")
    found = nearest_word(word, list(settings), cutoff=0.8)
    return f" Did you mean '{settings[found]}'?" if found else ""


def _settings() -> Iterator[tuple[str, str]]:
    for group in groups():
        for option in options(group, config_dirs()):
            yield group, option.rstrip("*")
    for key, declared in declared_keys():
        for value in declared.metadata.get("choices") or ():
            yield key, value
