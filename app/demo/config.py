"""The config file of the demo: one HubSpot portal, its mapping, and the platforms that the mapping serves."""

from collections.abc import Mapping
from datetime import datetime

from app.demo.people import OWN_DOMAIN

SOURCE = "hubspot"
ACTIONS = {"qualified_lead": "7302219941", "opportunity": "7302219950", "closed_revenue": "7302219958"}
EVENTS = {"lead": "Lead", "qualified_lead": "Qualified", "opportunity": "Opportunity", "closed_revenue": "Purchase"}

MAPPING = f"""
    history: 400d
    identity:
      email: [contact.email]
      phone: [contact.phone]
      first_name: [contact.firstname]
      last_name: [contact.lastname]
      country: [contact.country]
      gclid: [contact.hs_google_click_id]
      fbclid: [contact.hs_facebook_click_id]
      meta_lead_id: [contact.leadgen_id]
      clicked_at: [contact.hs_analytics_first_timestamp, contact.createdate]
      default_country: US
    attribution:
      platform: {{field: contact.hs_analytics_source, map: {{PAID_SEARCH: google, PAID_SOCIAL: meta}}}}
      campaign_id: [contact.utm_id]
      utm_campaign: [contact.utm_campaign]
    dimensions: {{country: contact.country, product: deal.product}}
    consent:
      ad_user_data: {{field: contact.ads_consent, granted: ["yes"]}}
      ad_personalization: {{field: contact.ads_consent, granted: ["yes"]}}
    exclude: [{{field: contact.email, op: ends_with, value: "@{OWN_DOMAIN}"}}]
    person: {{prefer: [has_identifier, "label:Decision maker", primary, earliest]}}
    milestones:
      - name: lead
        when: [{{object: contact, created: true}}]
      - name: qualified_lead
        when: [{{object: contact, property: lifecyclestage, enters: [salesqualifiedlead]}}]
        value: {{model: fixed, amount: 50, currency: USD}}
      - name: opportunity
        when: [{{object: deal, property: dealstage, pipeline: default, enters: [qualifiedtobuy]}}]
        value: {{model: weighted, field: deal.amount, probability: stage, if_missing: send_without}}
      - name: closed_revenue
        when: [{{object: deal, property: dealstage, pipeline: default, enters: [closedwon]}}]
        value: {{model: field, field: deal.amount}}
        on_leave: retract
      - name: disqualified
        when: [{{object: contact, property: hs_lead_status, enters: [UNQUALIFIED]}}]
"""

_TARGETS = {
    "google": "".join(f"\n        {name}: {{conversion_action: '{action}'}}" for name, action in ACTIONS.items()),
    "meta": "".join(f"\n        {name}: {{event_name: {event}}}" for name, event in EVENTS.items()),
}


def config_text(*, start: datetime, source: str, destinations: Mapping[str, str]) -> str:
    """The whole file; `source` and the destinations by name are flow mappings of connection settings, in YAML."""
    return "\n".join(
        (
            f"sources:\n  {SOURCE}: {source}",
            "destinations:",
            *(f"  {name}: {settings}" for name, settings in destinations.items()),
            f'mappings:\n  {SOURCE}:\n    start: "{start.isoformat()}"{MAPPING}    destinations:',
            *(f"      {name}:{_TARGETS[name]}" for name in destinations),
        )
    )
