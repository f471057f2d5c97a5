"""What can be known of a connection without sending an event: token, account, event sets."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from connectors.ads.tiktok.api import Api
from connectors.ads.tiktok.errors import ACCESS_MEND, EVENT_NAME_MEND, TOKEN_MEND, Meaning, meaning_of
from connectors.ads.tiktok.payload import EVENT_NAME, is_event_name
from connectors.ads.tiktok.settings import TikTokSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Target, UploadRow
from connectors.contract.errors import AuthenticationFailed, ConnectorError
from connectors.contract.findings import Finding, FindingStatus
from connectors.upload.json_values import as_list, as_object
from connectors.upload.judging import LocalCode

OK, FAILED, UNPROVEN = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
WAIT_MEND = "check again in some minutes; where it stays so, look at base_url and api_version"
TEST_MEND = "`leadloop check NAME --test-event CODE` proves it, with the code of Events Manager, Test Events"
MISSING_RIGHTS = frozenset({"40001", "40118", "40125"})
# Belongs to nobody: the domain is reserved for examples (RFC 2606).
NOBODY = hashlib.sha256(b"leadloop-check@example.com").hexdigest()


async def check_account(targets: Mapping[str, Target], settings: TikTokSettings, api: Api) -> Sequence[Finding]:
    """Findings on `token`, `account`, `event_set:*`, `permission`, `target:<milestone>`; a refusal is a finding."""
    sets = [await _event_set(form, settings, api) for form in ("crm", "offline") if _set_of(form, settings)]
    failures = [one for one in sets if isinstance(one, ConnectorError)]
    refused = next((one for one in failures if _is_of_token(one)), None)
    if refused is not None:
        token = Finding("token", FAILED, refused.message, TOKEN_MEND)
        rest = ["account", *(f"target:{name}" for name in targets)]
        return [token, *(Finding(one, UNPROVEN, "not judged, as the token was refused") for one in rest)]
    outage = next((one for one in failures if not isinstance(one, AuthenticationFailed)), None)
    found = [one for one in sets if isinstance(one, Finding)]
    token = Finding("token", OK if found else UNPROVEN, "TikTok knows the token" if found else "the token was not proven")
    account = await _account(settings, api, failures, outage)
    if outage is not None or account.status is FAILED:
        judged = [Finding(f"target:{name}", UNPROVEN, "not judged, as the account was not") for name in targets]
    else:
        judged = [_target(name, target.get(EVENT_NAME) or "") for name, target in targets.items()]
    permission = Finding("permission", UNPROVEN, "that the token may send is proven by an event only", TEST_MEND)
    return [token, account, *found, permission, *judged]


def test_row(target: Target, milestone: str, now: datetime) -> UploadRow:
    """An event of nobody's, an hour ago."""
    agreed = ConsentState.NOT_REQUIRED
    return UploadRow(
        kind=DeliveryKind.UPLOAD,
        conversion_id=f"leadloop-test-{milestone}-{int(now.timestamp())}",
        milestone=milestone,
        target=target,
        occurred_at=now - timedelta(hours=1),
        identifiers={Identifier.EMAIL_SHA256: NOBODY},
        consent=Consent(agreed, agreed),
    )


async def _event_set(form: str, settings: TikTokSettings, api: Api) -> Finding | ConnectorError:
    wanted = _set_of(form, settings)
    path, params = f"/{form}/list/", {"advertiser_id": settings.advertiser_id}
    if form == "offline":
        path, params = "/offline/get/", {**params, "event_set_ids": f'["{wanted}"]'}
    try:
        data = await api.read(path, params)
    except ConnectorError as error:
        return error
    rows = [as_object(one) for name in ("event_sets", "list", "data") for one in as_list(data.get(name))]
    if any(str(one.get("event_set_id", "")) == wanted for one in rows):
        return Finding(f"event_set:{form}", OK, f"event set {wanted} is there")
    return Finding(f"event_set:{form}", FAILED, f"the account has no {form} event set {wanted}", ACCESS_MEND)


async def _account(
    settings: TikTokSettings, api: Api, failures: Sequence[ConnectorError], outage: ConnectorError | None
) -> Finding:
    """A token of Events Manager may read nothing: that it does not is no failure."""
    if outage is not None:
        return Finding("account", FAILED, outage.message, WAIT_MEND)
    if settings.app_id:
        try:
            data = await api.read("/oauth2/advertiser/get/", {"app_id": settings.app_id, "secret": settings.app_secret})
        except ConnectorError as error:
            mend = ACCESS_MEND if isinstance(error, AuthenticationFailed) else WAIT_MEND
            return Finding("account", FAILED, error.message, mend)
        rows = [as_object(one) for one in as_list(data.get("list"))]
        if any(str(one.get("advertiser_id", "")) == settings.advertiser_id for one in rows):
            return Finding("account", OK, f"the token reaches ad account {settings.advertiser_id}")
        return Finding("account", FAILED, f"the token does not reach ad account {settings.advertiser_id}", ACCESS_MEND)
    if failures:
        said = f"the token may not read event sets, sending may still work: {failures[0].message}"
        return Finding("account", UNPROVEN if all(map(_is_of_rights, failures)) else FAILED, said, ACCESS_MEND)
    return Finding("account", OK, f"the token reads event sets of ad account {settings.advertiser_id}")


def _is_of_rights(error: ConnectorError) -> bool:
    """A right to read is missing, which a token that was made for sending does not have."""
    return error.code in MISSING_RIGHTS


def _target(name: str, event_name: str) -> Finding:
    subject = f"target:{name}"
    if not is_event_name(event_name):
        return Finding(subject, FAILED, f"{LocalCode.TARGET_INVALID}: an event needs a name", EVENT_NAME_MEND)
    said = f"TikTok takes any event name and tests none: `{event_name}`; map a name of your own to a standard event there"
    return Finding(subject, UNPROVEN, said)


def _set_of(form: str, settings: TikTokSettings) -> str:
    return settings.crm_event_set_id if form == "crm" else settings.offline_event_set_id


def _is_of_token(error: ConnectorError) -> bool:
    code = int(error.code) if error.code.isdigit() else None
    return isinstance(error, AuthenticationFailed) and meaning_of(code, error.status or 0) is Meaning.TOKEN
