from app.dispatch.sizing import Size
from connectors.contract.results import Accepted, NotProcessed, Rejected, UploadResult

TAKEN: list[UploadResult] = [Accepted()] * 10


def test_a_request_begins_with_the_most_and_is_halved_after_a_refusal() -> None:
    """One bad row in a thousand should not cost the next thousand the same search."""
    size = Size.of(1000, None, None, 0)
    assert size.rows == 1000

    assert size.learn([NotProcessed()] * 1000)
    assert (size.rows, size.adaptive) == (500, 500)
    size.learn([NotProcessed()] * 400)
    assert size.rows == 200


def test_five_clean_requests_double_it_up_to_the_most() -> None:
    """A platform that is well again gets full requests again."""
    size = Size.of(1000, None, 400, 4)

    assert size.learn(TAKEN)
    assert (size.rows, size.clean) == (800, 0)
    for _ in range(5):
        size.learn(TAKEN)
    assert (size.rows, size.adaptive) == (1000, None)
    assert not size.learn(TAKEN), "nothing is written while nothing changes"


def test_what_was_taken_in_part_is_no_refusal() -> None:
    """Rows of another form wait for the next request, and a row that is refused by itself says nothing of the size."""
    size = Size.of(1000, None, None, 0)

    assert not size.learn([Accepted(), NotProcessed(), Rejected("code")])
    assert not size.learn([Rejected("code")])
    assert size.rows == 1000


def test_it_never_falls_below_one_nor_rises_above_the_operators_bound() -> None:
    """The operator may set fewer; nobody can send half a row."""
    size = Size.of(1000, 50, 800, 0)
    assert size.rows == 50

    for _ in range(9):
        size.learn([NotProcessed()] * size.rows)
    assert size.rows == 1
    size.learn([NotProcessed()])
    assert size.rows == 1
