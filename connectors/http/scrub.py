"""Takes personal data and secrets out of what vendors write, before it gets into an exception, a log or the store."""

import re

INPUT_LIMIT = 20_000

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_WORD = r"[^\s@\"'<>()\[\]{},;:=]"

# In this order: an address is found before its local part can be taken for a token, tokens before digits.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]+", re.IGNORECASE), r"\1?[query]"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), r"\1 [token]"),
    (
        re.compile(
            r"\b(access_token|refresh_token|id_token|client_secret|api_key|api_token|appsecret_proof|assertion"
            r"|password|secret|token)([\"']?\s*=\s*[\"']?|[\"']\s*:\s*[\"']?)[^\s\"'&,}]+",
            re.IGNORECASE,
        ),
        r"\1\2[secret]",
    ),
    (re.compile(rf"(?<!{_WORD})(?:\"[^\"@]{{1,64}}\"|{_WORD}+)(?:@|\uff20|%40){_WORD}+", re.IGNORECASE), "[email]"),
    (re.compile(r"\bpat-[\w-]{6,}|\bya29\.[\w.-]+|\b1//[\w-]{6,}|\bEAA\w{6,}|\beyJ[\w-]{6,}(?:\.[\w-]+)*"), "[token]"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "[digest]"),
    (re.compile(r"[0-9A-Fa-f]{32,}"), "[digest]"),
    (re.compile(r"(?<![A-Za-z0-9_+~-])(?=[A-Za-z_+~-]*\d)[A-Za-z0-9_+~-]{24,}=*"), "[token]"),
    (re.compile(r"(?<![A-Za-z0-9_+~-])(?![A-Z_]+\b)[A-Za-z0-9_+~-]{40,}=*"), "[token]"),
    # Shorter ids of clicks and leads: lower case letters and five digits or more in one word.
    (re.compile(r"(?<![\w.-])(?=[\w.-]*[a-z])(?=(?:[\w.-]*[0-9]){5})[\w.-]{12,}"), "[token]"),
    (re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])|\b[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){4,7}\b"), "[ip]"),
    (re.compile(r"\+?\d(?:[\s().\-/\u2010-\u2015]{0,3}\d){6,}"), "[number]"),
)


def scrub(text: str, limit: int = 300) -> str:
    """The text without e-mails, phone-like digits, tokens, digests and control characters, cut to `limit` characters.

    A person's name cannot be told from other words and stays.
    """
    clean = _CONTROL.sub(" ", _INVISIBLE.sub("", _beginning(text)))
    for pattern, replacement in _RULES:
        clean = pattern.sub(replacement, clean)
    clean = " ".join(clean.split())
    return clean if len(clean) <= limit else clean[: max(limit - 1, 0)] + "…"


def _beginning(text: str) -> str:
    """At most INPUT_LIMIT characters, cut between words, so that no half of a secret escapes its pattern."""
    if len(text) <= INPUT_LIMIT:
        return text
    words, _, _half = text[:INPUT_LIMIT].rpartition(" ")
    return words
