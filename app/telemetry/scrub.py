"""Take personal data and secrets out of free text: e-mails, phones, tokens, hashes (pure)."""

import re
from collections.abc import Callable

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"token|secret|passw|passphrase|authori[sz]ation|api_?key|private_?key|access_?key|cookie|credential|signature"
    r"|assertion|sealed|bearer|(?:^|_)pwd(?:$|_)|hmac"
    r"|e_?mail|phone|first_?name|last_?name|full_?name|postal_?code|street|address",
    re.IGNORECASE,
)
_REFERENCE_NAME = re.compile(r"(?:^|_)(?:ids?|refs?|uid|at|until|since|timestamp|time|version|seq|fence|cursor|resume)$")

_URL_PASSWORD = re.compile(r"(://)[^/\s:@]{0,200}:[^/\s@]{1,200}@")
_SCHEME_TOKEN = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_NAMED_SECRET = re.compile(
    r"(\b[\w-]{0,40}(?:token|secret|passw(?:or)?d|api[_-]?key|assertion|signature|authorization)[\w-]{0,20}[\"']?\s{0,3}[=:]\s{0,3}"
    r"[\"']?)(?!\[redacted\])([^\s&\"',;})\]]+)",
    re.IGNORECASE,
)
_VENDOR_TOKEN = re.compile(
    r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?|\bpat-[a-z]{2,4}\d-[\w-]{12,}|\bEAA[A-Za-z0-9]{20,}|\bya29\.[\w-]{8,}"
)
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,128}(?:@|%40)[\w-]{1,128}(?:\.[\w-]{1,64}){1,8}")
_HASH = re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])")
_PHONE = re.compile(
    r"(?:\+|%2B|(?<![\w.])00)[1-9](?:[ ().\-/]{0,3}\d){6,14}(?!\d)"  # international
    r"|(?<![\w.+-])\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}(?![\w-])"  # North American, in groups
    r"|(?<![\w.:+-])\(?0\d{1,5}\)?(?:[ /-]\d{2,}){1,5}(?![\w:])"  # national, in groups after the leading 0
    r"|(?<![\w.:+-])0\d{8,12}(?![\w.:-])",  # national, in one run
    re.IGNORECASE,
)
_BARE_DIGITS = re.compile(r"(?<![\w.:=/#@+-])\d{10,15}(?![\w.:=/#@-])")


def is_secret_name(name: str) -> bool:
    """True where a key's name says that its value is a secret or personal."""
    return _SECRET_NAME.search(name) is not None


def scrub(text: str) -> str:
    """The text without personal data and secrets; refs (`contact:123`), instants and codes stay readable."""
    return _BARE_DIGITS.sub(REDACTED, scrub_reference(text))


def scrub_reference(text: str) -> str:
    """As `scrub`, but a bare run of digits stays: for values that are ids by their name."""
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return text


def scrubber_for(name: str) -> Callable[[str], str]:
    """How the text under this key is scrubbed: a bare number is an id under `deal_id`, and may be a phone elsewhere."""
    return scrub_reference if _REFERENCE_NAME.search(name) else scrub


_STEPS = (
    (_URL_PASSWORD, rf"\1{REDACTED}@"),
    (_SCHEME_TOKEN, rf"\1 {REDACTED}"),
    (_NAMED_SECRET, rf"\1{REDACTED}"),
    (_VENDOR_TOKEN, REDACTED),
    (_EMAIL, REDACTED),
    (_HASH, REDACTED),
    (_PHONE, REDACTED),
)
