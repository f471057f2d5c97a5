"""Click ids and the platforms' own lead ids: checked, never hashed, never changed in case (pure)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from connectors.identity.texts import IdentifierProblem, clean

LONGEST_CLICK_ID = 512
LONGEST_FBC = 600
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Meta's fbc: subdomain index 1 is for a server without the cookie.
FBC_PREFIX = "fb.1"

# What forms and spreadsheets write where they have nothing.
_NOTHING = frozenset({"null", "none", "nil", "nan", "undefined", "unknown", "false", "true", "test", "n-a", "na"})

Check = Callable[[str], str | IdentifierProblem]


def _check(pattern: str, prefix: str = "", longest: int = LONGEST_CLICK_ID) -> Check:
    """A check that the whole text fits; a prefix that some exports put in front is taken off."""
    shape = re.compile(pattern, re.ASCII)

    def check(text: str) -> str | IdentifierProblem:
        cleaned = clean(text, longest)
        if isinstance(cleaned, IdentifierProblem):
            return cleaned
        bare = cleaned.removeprefix(prefix)
        is_valid = shape.fullmatch(bare) is not None and bare.lower() not in _NOTHING
        return bare if is_valid else IdentifierProblem.INVALID

    return check


_UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_FBCLID = r"[A-Za-z0-9_~=+-]+"
_OPAQUE = r"[A-Za-z0-9_.~=+-]+"
# Meta's parameter builder appends a fifth part of 8 (formerly 2) characters.
_META_SUFFIX = r"(?:\.[A-Za-z0-9_-]{2}|\.[A-Za-z0-9_-]{8})?"

valid_click_id = _check(_OPAQUE)
valid_fbclid = _check(_FBCLID)
valid_fbc = _check(rf"fb\.\d\.\d{{13}}\.{_FBCLID}{_META_SUFFIX}", longest=LONGEST_FBC)
valid_fbp = _check(rf"fb\.\d\.\d{{13}}\.\d+{_META_SUFFIX}")
valid_meta_lead_id = _check(r"\d{15,17}", prefix="l:")
valid_msclkid = _check(rf"[0-9A-Fa-f]{{32}}|{_UUID}", prefix="_uet")
valid_li_fat_id = _check(_UUID)
valid_linkedin_lead_id = _check(r"[A-Za-z0-9_-]+", prefix="urn:li:leadGenFormResponse:")
valid_tiktok_lead_id = _check(r"[A-Za-z0-9_-]+")


def fbc_of(fbclid: str, clicked_at: datetime | None) -> str | IdentifierProblem:
    """`fb.1.<milliseconds of the click>.<fbclid>`, byte for byte; needs to know when the click was."""
    if clicked_at is None or clicked_at.tzinfo is None:
        return IdentifierProblem.NO_CLICK_TIME
    fbc = f"{FBC_PREFIX}.{(clicked_at - EPOCH) // timedelta(milliseconds=1)}.{fbclid}"
    return fbc if not isinstance(valid_fbc(fbc), IdentifierProblem) else IdentifierProblem.NO_CLICK_TIME
