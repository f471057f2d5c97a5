"""Asking before something is done: a person at a terminal is asked, a script must have agreed by `--yes`."""

import sys

import typer


class NotAgreed(Exception):
    """Nobody is there to be asked, and `--yes` was not given; nothing was done."""


def asked(question: str, *, is_agreed: bool) -> bool:
    """Whether it may be done. NotAgreed where there is no terminal to ask at."""
    if is_agreed:
        return True
    if not is_at_a_terminal():
        raise NotAgreed("nothing was done: there is no terminal to ask at; --yes agrees to the plan above")
    if typer.confirm(question):
        return True
    typer.echo("nothing was done")
    return False


def is_at_a_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()
