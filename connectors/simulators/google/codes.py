"""Country and currency codes (ISO 3166-1 alpha-2, ISO 4217) and the written forms of digests and ids that Google checks."""

import base64
import binascii
import re


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


REGIONS = _codes(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
    UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """
)
CURRENCIES = _codes(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP
    MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND
    VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
    """
)
PLACEHOLDER_IDS = frozenset({"123", "1234", "null", "undefined", "none", "transactionid", "transaction_id"})
LONGEST_TRANSACTION_ID = 64

_HEX = re.compile(r"[0-9a-fA-F]*")
_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_CLICK_ID = re.compile(r"[A-Za-z0-9_-]{5,512}")


def digest_problem(text: str, encoding: str) -> str | None:
    """The ErrorReason of a value that is no SHA-256 digest in its encoding (HEX or BASE64)."""
    if encoding == "HEX":
        is_digest = _HEX_DIGEST.fullmatch(text) is not None
        broken = "INVALID_SHA256_FORMAT" if _HEX.fullmatch(text) else "INVALID_HEX_ENCODING"
        return None if is_digest else broken
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return "INVALID_BASE64_ENCODING"
    return None if len(decoded) == 32 else "INVALID_SHA256_FORMAT"


def hex_digest(text: str, encoding: str) -> str:
    """A checked digest as lower-case hex, so that both encodings of one person compare equal."""
    return text.lower() if encoding == "HEX" else base64.b64decode(text).hex()


def looks_hashed(text: str) -> bool:
    """Whether a value that must go in clear arrives as a SHA-256 digest."""
    return _HEX_DIGEST.fullmatch(text) is not None


def is_click_id(text: str) -> bool:
    """Whether Google could read this at all as a click id: its letters, and not somebody's digest of one."""
    return _CLICK_ID.fullmatch(text) is not None and not looks_hashed(text)
