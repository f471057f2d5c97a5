"""The console for tables of names and words of others."""

from rich.console import Console

WIDTH_OF_A_FILE = 140


def console_of_tables() -> Console:
    """Names and words of others are no markup; into a file or pipe, lines are not cut at eighty characters."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=WIDTH_OF_A_FILE)
