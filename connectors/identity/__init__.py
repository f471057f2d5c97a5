"""Raw personal data in, every platform's hashed variant out, all at once (pure). Nothing here is stored, logged or cached.

Where this differs from a vendor's own code, on purpose:
- Google's formatter refuses any blank inside an e-mail and LinkedIn removes them all. A blank beside the @ is a slip of
  the keyboard and goes (LinkedIn's result, for all platforms); any other blank makes the e-mail invalid, because
  "a b@x.com" may be anybody.
- Google's formatter keeps an international domain as written; here it goes to punycode for all platforms, so that both
  spellings of one mailbox give one hash.
- `+tag@domain` and `..@domain` are invalid for all platforms, as at Google for Gmail: nothing of the name is left in
  Microsoft's variant.
- An e-mail has one @ and a domain with a dot; Meta's SDK takes two of the one, Google's formatter none of the other.
- A phone's extension is left out; Google's formatter takes its digits for the number's, Meta's SDK refuses it.
- A country may be a name or three letters; both vendors' code takes two letters only.
- Google's phone formatter only collects digits, Meta's SDK keeps a trunk zero (`+44 (0)20...`), both take national
  numbers: here phonenumbers must call a number valid, and E.164 is what is hashed.
- Meta's SDK leaves the punctuation of names and the apostrophe of cities; its documentation takes them out, as we do.
  Google's comment says "no punctuation" but its formatter keeps it, and the formatter is what advertisers run.
- Names without a letter ("-", "123") are invalid for Google too, which would hash them.
- Meta's SDK cuts a postal code at its dash, which leaves "00" of Warsaw's 00-950; its documentation takes the dash out,
  as we do, and keeps five digits of a US one.
- Meta's SDK lower-cases a state's name ("california"); here US and Canadian names become their two-letter codes, and
  where the country is the US or Canada, what is no state of it is invalid.
- Meta's SDK sends external ids bare, Segment lower-cases them for TikTok; here they are hashed with their case kept.
- Meta's SDK takes text that looks like a hash for a hash. Raw and hashed are different types here; what is no e-mail
  is invalid.
"""

from connectors.identity.contacts import normalise_email, normalise_phone
from connectors.identity.countries import country_code
from connectors.identity.person import HashedIdentity, RawIdentity, identify
from connectors.identity.texts import IdentifierProblem

__all__ = [
    "HashedIdentity",
    "IdentifierProblem",
    "RawIdentity",
    "country_code",
    "identify",
    "normalise_email",
    "normalise_phone",
]
