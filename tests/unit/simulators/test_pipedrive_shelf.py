from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.simulators.pipedrive import Company, Kind
from connectors.simulators.pipedrive.rows import Deal
from connectors.simulators.pipedrive.shelf import update_key
from tests.unit.simulators.pipedrive_rig import START

ACTS = st.lists(
    st.tuples(st.sampled_from(["create", "edit", "late", "born late", "touch", "delete"]), st.integers(0, 9)), max_size=40
)


@given(ACTS, st.integers(0, 60))
def test_the_index_holds_each_row_once_where_its_shown_version_lies(acts: list[tuple[str, int]], waited: int) -> None:
    """A reader that walks the index must meet every shown row once, in order, whatever was edited, seen late or deleted."""
    company, shown = Company(), dict[int, Deal]()
    hidden: dict[int, int] = {}
    for number, (act, which) in enumerate(acts):
        at = START + timedelta(seconds=number)
        visible = at + timedelta(seconds=which * 3)
        company.store.catch_up(at)
        live = [one for one in shown if company.store.find(Kind.DEAL, one) and not _is_deleted(company, one)]
        target = live[which % len(live)] if live else None
        if act == "create" or target is None:
            _note(company, shown, company.create_deal({"title": str(number)}, at))
        elif act == "born late":
            hidden[company.create_deal({"title": str(number)}, at, visible_at=visible)] = number + which * 3
        elif act == "edit":
            company.update("deal", target, {"title": str(number)}, at)
            hidden.pop(target, None)
        elif act == "late":
            company.update("deal", target, {"title": str(number)}, at, visible_at=visible)
            hidden[target] = max(number + which * 3, hidden.get(target, 0))
        elif act == "touch":
            company.touch("deal", target, at)
            hidden.pop(target, None)
        else:
            company.delete("deal", target, at)
            hidden.pop(target, None)
        for one in [one for one in company.store.shelf(Kind.DEAL).ids if hidden.get(one, -1) <= number]:
            hidden.pop(one, None)
            _note(company, shown, one)
    end = len(acts) - 1 + waited
    company.store.catch_up(START + timedelta(seconds=end))
    for one in [one for one, until in hidden.items() if until <= end]:
        _note(company, shown, one)

    shelf = company.store.shelf(Kind.DEAL)
    walked = [row for row in shelf.up(shelf.by_update, 0) if isinstance(row, Deal)]

    assert [(row.id, row.title) for row in walked] == [(row.id, row.title) for row in sorted(shown.values(), key=update_key)]
    assert [row.id for row in shelf.down(shelf.by_update, 1 << 80)] == [row.id for row in reversed(walked)]


def _note(company: Company, shown: dict[int, Deal], deal: int) -> None:
    row = company.store.find(Kind.DEAL, deal)
    assert isinstance(row, Deal)
    shown[deal] = replace(row)


def _is_deleted(company: Company, deal: int) -> bool:
    row = company.store.find(Kind.DEAL, deal)
    return row is None or row.deleted_ms is not None
