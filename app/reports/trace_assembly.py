"""The rows of a lead become its trace (pure)."""

from datetime import datetime
from urllib.parse import quote

import orjson
from sqlalchemy import RowMapping

from app.db.instants import from_ms, optional_from_ms
from app.mapping.aggregate import EndReason
from app.mapping.explaining import END_SENTENCES
from app.mapping.opening import labels_in
from app.outbox.states import SENTENCES
from app.reports.account_trace import account_of
from app.reports.trace_answers import answers_of
from app.reports.trace_model import (
    ConversionTrace,
    DeliveryTrace,
    EntryTrace,
    KeyTrace,
    LeadTrace,
    NextStep,
    Trace,
    TryTrace,
    ValuationTrace,
)
from app.reports.trace_rows import Stored
from app.reports.trace_story import schema_in, told_story
from app.secrets import Keyring
from connectors.contract.conversions import IDENTIFIER_BITS, Consent, Money
from connectors.contract.records import ObjectKind
from connectors.contract.source import SourceSchema


class Assembly:
    """Turns rows into a trace (pure)."""

    def __init__(self, source: RowMapping, stored: Stored, keyring: Keyring, now: datetime) -> None:
        self._source = source
        self._stored = stored
        self._story = told_story(source, stored, keyring)
        self._now = now
        self._schema = None if source["schema_json"] is None else schema_in(source["schema_json"])
        self._labels = _labels(self._schema)

    def trace(self) -> Trace:
        """The whole."""
        stored = self._stored
        return Trace(
            source=self._source["name"],
            source_kind=self._source["kind"],
            lead=None if stored.lead is None else _lead(stored.lead),
            answers=answers_of(stored, self._story),
            keys=tuple(self._key(row) for row in stored.records.values()),
            entries=tuple(self._entry(row) for row in stored.entries),
            conversions=tuple(self._conversion(row) for row in stored.conversions),
            unreached=self._story.unreached,
            account=account_of(stored.account, stored.lead_id, stored.conversions, stored.deliveries),
        )

    def _ref(self, record_id: int | None) -> str | None:
        row = None if record_id is None else self._stored.records.get(record_id)
        return None if row is None else f"{row['object']}:{row['external_id']}"

    def _key(self, row: RowMapping) -> KeyTrace:
        mine = [link for link in self._stored.links[row["id"]] if link["lead_id"] == self._stored.lead_id]
        return KeyTrace(
            ref=f"{row['object']}:{row['external_id']}",
            state=row["state"],
            merged_into=self._ref(row["merged_into"]),
            pipeline=row["pipeline"],
            stage=row["stage"],
            stage_label=None if row["stage"] is None else self._labels.get((row["object"], "", row["pipeline"], row["stage"])),
            company=None if row["company_ref"] is None else f"{ObjectKind.COMPANY}:{row['company_ref']}",
            labels=tuple(label for link in mine for label in labels_in(link["label"])),
            is_primary=any(link["primary"] for link in mine),
            created_at=optional_from_ms(row["created_at"]),
            modified_at=from_ms(row["modified_at"]),
            url=_url(self._schema, ObjectKind(row["object"]), row["external_id"]),
            company_url=None if row["company_ref"] is None else _url(self._schema, ObjectKind.COMPANY, row["company_ref"]),
        )

    def _entry(self, row: RowMapping) -> EntryTrace:
        record = self._stored.records[row["record_id"]]
        where = (record["object"], row["property"])
        label = self._labels.get((*where, row["pipeline"], row["value"])) or self._labels.get((*where, None, row["value"]))
        return EntryTrace(
            ref=f"{record['object']}:{record['external_id']}",
            property=row["property"],
            value=row["value"],
            label=label,
            pipeline=row["pipeline"],
            entered_at=from_ms(row["entered_at"]),
            origin=row["origin"],
            is_approximate=bool(row["approximate"]),
        )

    def _conversion(self, row: RowMapping) -> ConversionTrace:
        return ConversionTrace(
            uid=row["uid"],
            milestone=row["milestone"],
            scope=f"{row['scope_kind']}:{row['scope_key']}",
            occurrence=row["occurrence"],
            ref=self._ref(row["record_id"]),
            lead_id=row["lead_id"],
            occurred_at=from_ms(row["occurred_at"]),
            is_implied=bool(row["implied"]),
            is_live=bool(row["live"]),
            mapping_version=row["mapping_version"],
            explain=row["explain"],
            money=_money(row["amount_micros"], row["currency"]),
            nominal=_money(row["nominal_micros"], row["nominal_currency"]),
            value_state=row["value_state"],
            value_why=row["value_why"],
            valuations=tuple(_valuation(valuation) for valuation in self._stored.valuations[row["id"]]),
            duplicate_of=row["duplicate_of"],
            ended_at=optional_from_ms(row["ended_at"]),
            ended_why=row["ended_why"],
            ended_sentence=None if row["ended_why"] is None else END_SENTENCES[EndReason(row["ended_why"])],
            deliveries=tuple(self._delivery(delivery, row["uid"]) for delivery in self._stored.deliveries[row["id"]]),
        )

    def _delivery(self, row: RowMapping, uid: str) -> DeliveryTrace:
        return DeliveryTrace(
            id=row["id"],
            destination=row["destination"],
            kind=row["kind"],
            seq=row["seq"],
            state=row["state"],
            reason=row["reason"],
            sentence=SENTENCES.get(row["reason"], ""),
            checks=self._story.excluded.get((uid, row["destination"]), ()),
            code=row["code"],
            target=row["target"],
            try_count=row["tries"],
            tries=tuple(_try(one) for one in self._stored.tries[row["id"]]),
            person=None if row["person_id"] is None else self._ref(row["person_id"]) or f"lead {row['person_id']}",
            person_why=row["person_why"],
            is_frozen=bool(row["frozen"]),
            sent=_money(row["sent_amount_micros"], row["sent_currency"]),
            created_at=from_ms(row["created_at"]),
            deadline_at=from_ms(row["deadline_at"]),
            settled_at=optional_from_ms(row["settled_at"]),
            next_step=_next_step(row, self._now),
        )


def _lead(row: RowMapping) -> LeadTrace:
    return LeadTrace(
        id=row["id"],
        created_at=from_ms(row["created_at"]),
        identifiers=tuple(identifier for identifier, bit in IDENTIFIER_BITS.items() if (row["has"] or 0) & bit),
        consent=Consent.from_text(row["consent"]),
        consent_why=row["consent_why"],
        country=row["country"],
        clicked_at=optional_from_ms(row["clicked_at"]),
        platform=row["platform"],
        campaign_id=row["campaign_id"],
        utm_campaign=row["utm_campaign"],
        dimensions={name: "" if value is None else str(value) for name, value in orjson.loads(row["dimensions_json"]).items()},
    )


def _valuation(row: RowMapping) -> ValuationTrace:
    return ValuationTrace(
        seq=row["seq"],
        money=_money(row["amount_micros"], row["currency"]),
        why=row["why"],
        rates_version=row["rates_version"],
        at=from_ms(row["at"]),
    )


def _try(row: RowMapping) -> TryTrace:
    return TryTrace(n=row["n"], at=from_ms(row["at"]), outcome=row["outcome"], code=row["code"], message=row["message"])


def _money(amount_micros: int | None, currency: str | None) -> Money | None:
    return None if amount_micros is None or currency is None else Money(amount_micros, currency)


def _next_step(row: RowMapping, now: datetime) -> NextStep | None:
    match row["state"]:
        case "pending":
            return _next_try(row, now)
        case "sending":
            return NextStep("being sent; unanswered, it then counts as a try of unknown effect", optional_from_ms(row["due_at"]))
        case "accepted" if row["verdict_due_at"] is not None:
            return NextStep("the platform is asked for its verdict", from_ms(row["verdict_due_at"]))
        case "uncertain":
            return NextStep("a person chooses: send it again, or count it as sent")
        case "skipped" if row["reason"] == "no_consent":
            return NextStep("reopened where consent is granted, at the latest by", from_ms(row["deadline_at"]))
        case "rejected" | "expired" | "skipped" | "shadowed" if row["first_unknown_at"] is None:
            return NextStep("nothing by itself; a replay can try it again")
    return None


def _next_try(row: RowMapping, now: datetime) -> NextStep:
    due_at, paused_until = optional_from_ms(row["due_at"]), optional_from_ms(row["paused_until"])
    if row["target_pause_code"] is not None:
        return NextStep(f"waits until a check clears its target, which the platform refused ({row['target_pause_code']})")
    if row["destination_mode"] == "paused":
        return NextStep("waits until the destination is no longer set to paused")
    if row["pause_reason"] is not None and paused_until is None:
        return NextStep(f"waits until a check clears the pause of its destination ({row['pause_reason']})")
    if paused_until is not None and due_at is not None and paused_until > max(due_at, now):
        return NextStep(f"tried when the pause of its destination ends ({row['pause_reason']})", paused_until)
    return NextStep("tried", due_at)


# (kind, property, pipeline, value) -> label; a record's own stage stands under the property "".
def _labels(schema: SourceSchema | None) -> dict[tuple[str, str, str | None, str], str]:
    found: dict[tuple[str, str, str | None, str], str] = {}
    if schema is None:
        return found
    for kind, properties in schema.properties.items():
        for name, described in properties.items():
            found.update({(kind.value, name, None, option.value): option.label for option in described.options})
    for pipeline in schema.pipelines:
        for stage in pipeline.stages:
            for name in ("", pipeline.stage_property):
                found[pipeline.kind.value, name, pipeline.id, stage.id] = stage.label
                found.setdefault((pipeline.kind.value, name, None, stage.id), stage.label)
    return found


def _url(schema: SourceSchema | None, kind: ObjectKind, external_id: str) -> str | None:
    pattern = None if schema is None else schema.record_urls.get(kind)
    return None if pattern is None else pattern.replace("{id}", quote(external_id, safe=""))
