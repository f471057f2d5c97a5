"""What HubSpot calls our four kinds: paths, type ids and the properties that hold time, stage and pipeline (data)."""

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.contract.records import ObjectKind

MERGED_IDS = "hs_merged_object_ids"
ASSOCIATED_CONTACTS = "num_associated_contacts"
# On contacts; empty on those that never were on a deal.
ASSOCIATED_DEALS = "num_associated_deals"


@dataclass(frozen=True, slots=True)
class HubSpotObject:
    """One kind. `modified` is the property that search is ordered by; a wrong one gives silently wrong results.

    `always`: read whatever the selection asks. `primary_company`: type id of the association with the primary company.
    """

    path: str
    type_id: str
    modified: str
    created: str
    stage: str | None = None
    pipeline: str | None = None
    primary_company: int | None = None
    always: frozenset[str] = frozenset()

    @property
    def base_properties(self) -> frozenset[str]:
        """All that a record needs beside its selected fields."""
        named = {self.modified, self.created, self.stage, self.pipeline} - {None}
        return self.always | {str(name) for name in named}


OBJECTS: Mapping[ObjectKind, HubSpotObject] = {
    ObjectKind.CONTACT: HubSpotObject(
        path="contacts",
        type_id="0-1",
        modified="lastmodifieddate",
        created="createdate",
        stage="lifecyclestage",
        primary_company=1,
        always=frozenset({MERGED_IDS}),
    ),
    ObjectKind.COMPANY: HubSpotObject(
        path="companies",
        type_id="0-2",
        modified="hs_lastmodifieddate",
        created="createdate",
        stage="lifecyclestage",
        always=frozenset({MERGED_IDS}),
    ),
    ObjectKind.DEAL: HubSpotObject(
        path="deals",
        type_id="0-3",
        modified="hs_lastmodifieddate",
        created="createdate",
        stage="dealstage",
        pipeline="pipeline",
        primary_company=5,
        always=frozenset({MERGED_IDS, ASSOCIATED_CONTACTS}),
    ),
    ObjectKind.LEAD: HubSpotObject(
        path="leads",
        type_id="0-136",
        modified="hs_lastmodifieddate",
        created="hs_createdate",
        stage="hs_pipeline_stage",
        pipeline="hs_pipeline",
    ),
}

KIND_BY_TYPE_ID: Mapping[str, ObjectKind] = {facts.type_id: kind for kind, facts in OBJECTS.items()}
