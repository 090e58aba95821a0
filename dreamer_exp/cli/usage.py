"""The usage of a command, which it prints instead of running."""

from collections.abc import Callable
from functools import wraps

Command = Callable[[list[str]], int]


def with_usage(usage: str, *, needs_words: bool = True) -> Callable[[Command], Command]:
    """Have a command print its usage under --help and, where it needs words, without any."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(words: list[str]) -> int:
            if {"--help", "-h"} & set(words) or (needs_words and not words):
                print(usage)
                return 0
            return command(words)

        return run

    return decorate
