"""What shell completion adds to Hydra's: the commands as the first word, and the allowed words of a key.

`eval "$(dreamer-exp -sc install=bash)"` installs Hydra's completion, which asks this program at each TAB with
`-sc query=bash` and the line so far in COMP_LINE.
"""

from collections.abc import Collection, Sequence

FLAGS = ("-sc", "--shell-completion", "--shell_completion")


def is_query(words: Sequence[str]) -> bool:
    """Return whether the shell asks for suggestions."""
    return bool(set(FLAGS) & set(words)) and any(word.startswith("query=") for word in words)


def command_in(line: str, commands: Collection[str]) -> str | None:
    """Return the command whose own words are being completed, or None while settings are.

    Args:
        line: the line up to the cursor, as COMP_LINE.
        commands: the names of the commands.
    """
    typed = line.split()[1:]
    return typed[0] if typed and typed[0] in commands and not line.endswith(typed[0]) else None


def suggestions(line: str, commands: Collection[str]) -> list[str]:
    """Return the commands that the first word begins, or the allowed values of the key before the cursor."""
    _, *typed = line.split(" ")
    key, equals, value = typed[-1].partition("=") if typed else ("", "", "")
    if equals:
        return [f"{key}={choice}" for choice in _choices(key) if choice.startswith(value)]
    return [command for command in commands if command.startswith(key)] if len(typed) == 1 else []


def _choices(key: str) -> list[str]:
    from dreamer_exp.config.schema_keys import declared_keys  # imports Hydra

    found = [declared.metadata["choices"] or () for path, declared in declared_keys() if path == key]
    return list(dict.fromkeys(choice for choices in found for choice in choices))
