from dataclasses import dataclass

from app.dispatch.batching import batches, halves


@dataclass(frozen=True)
class Row:
    key: str
    target: str = "lead"
    most_together: int | None = None
    form: str = ""


def keys(made: list[list[Row]]) -> list[list[str]]:
    return [[row.key for row in batch] for batch in made]


def test_requests_are_filled_in_order() -> None:
    """The backlog drains oldest first, in as few requests as the platform's limit allows."""
    rows = [Row(str(number)) for number in range(5)]

    assert keys(batches(rows, most_rows=2, most_targets=1)) == [["0", "1"], ["2", "3"], ["4"]]


def test_targets_and_repeated_ids_open_further_requests() -> None:
    """A platform takes so many targets a request, and the same id never twice in one."""
    rows = [Row("a"), Row("b", "won"), Row("a"), Row("c", "lost")]

    assert keys(batches(rows, most_rows=9, most_targets=2)) == [["a", "b"], ["a", "c"]]
    assert keys(batches(rows[:2], most_rows=9, most_targets=1)) == [["a"], ["b"]]


def test_turns_of_targets_do_not_cut_requests_short() -> None:
    """Leads and sales come in turns; one request for each row would use up the platform's budget of requests."""
    rows = [Row("a"), Row("b", "won"), Row("c"), Row("d", "won"), Row("e", "lost")]

    assert keys(batches(rows, most_rows=9, most_targets=1)) == [["a", "c"], ["b", "d"], ["e"]]


def test_rows_of_an_unnamed_failure_keep_apart_and_do_not_hold_up_the_others() -> None:
    """Where a late verdict named no row, its rows go in ever smaller requests; everybody else's stay full."""
    rows = [Row("a"), Row("b", most_together=2), Row("c"), Row("d", most_together=2), Row("e", most_together=2), Row("f")]

    assert keys(batches(rows, most_rows=100, most_targets=1)) == [["b", "d"], ["e"], ["a", "c", "f"]]


def test_halves_of_one_row_are_itself() -> None:
    """A single row cannot be split further."""
    assert keys(halves([Row("a"), Row("b"), Row("c")])) == [["a"], ["b", "c"]]
    assert keys(halves([Row("a")])) == [["a"]]


def test_forms_never_share_a_request() -> None:
    """A correction goes to another address than a conversion, and a platform's own leads to another event set."""
    rows = [Row("a", form="upload"), Row("b", form="retract"), Row("c", form="upload"), Row("d", form="upload/apart")]

    assert keys(batches(rows, most_rows=9, most_targets=9)) == [["b"], ["a", "c"], ["d"]]
