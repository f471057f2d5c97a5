"""The console for names and words of others, none of which is markup."""

from rich.console import Console
from rich.markup import escape

WIDTH_OF_A_FILE = 140


def console_of_tables() -> Console:
    """Names and words of others are no markup; into a file or pipe, lines are not cut at eighty characters."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=WIDTH_OF_A_FILE)


def tell(text: str, *, soft_wrap: bool = False, is_aside: bool = False) -> None:
    """Print it as it stands. `is_aside`: beside an output that may be piped into a file."""
    Console(stderr=is_aside).print(escape(text), highlight=False, soft_wrap=soft_wrap)
