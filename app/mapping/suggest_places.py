"""Where an account is at home, by its time zone or its currency (data, pure)."""

from collections.abc import Mapping

_BY_ZONE: Mapping[str, str] = {
    zone: country
    for country, zones in {
        "AE": "Asia/Dubai",
        "AR": "America/Argentina/Buenos_Aires America/Buenos_Aires",
        "AT": "Europe/Vienna",
        "AU": "Australia/Sydney Australia/Melbourne Australia/Brisbane Australia/Perth Australia/Adelaide Australia/Hobart",
        "BE": "Europe/Brussels",
        "BG": "Europe/Sofia",
        "BR": "America/Sao_Paulo America/Fortaleza America/Manaus America/Bahia",
        "CA": "America/Toronto America/Vancouver America/Halifax America/Edmonton America/Winnipeg America/St_Johns",
        "CH": "Europe/Zurich",
        "CL": "America/Santiago",
        "CN": "Asia/Shanghai",
        "CO": "America/Bogota",
        "CZ": "Europe/Prague",
        "DE": "Europe/Berlin",
        "DK": "Europe/Copenhagen",
        "EE": "Europe/Tallinn",
        "ES": "Europe/Madrid",
        "FI": "Europe/Helsinki",
        "FR": "Europe/Paris",
        "GB": "Europe/London",
        "GR": "Europe/Athens",
        "HK": "Asia/Hong_Kong",
        "HR": "Europe/Zagreb",
        "HU": "Europe/Budapest",
        "ID": "Asia/Jakarta",
        "IE": "Europe/Dublin",
        "IL": "Asia/Jerusalem",
        "IN": "Asia/Kolkata Asia/Calcutta",
        "IT": "Europe/Rome",
        "JP": "Asia/Tokyo",
        "KR": "Asia/Seoul",
        "LT": "Europe/Vilnius",
        "LU": "Europe/Luxembourg",
        "LV": "Europe/Riga",
        "MX": "America/Mexico_City America/Monterrey America/Tijuana",
        "MY": "Asia/Kuala_Lumpur",
        "NL": "Europe/Amsterdam",
        "NO": "Europe/Oslo",
        "NZ": "Pacific/Auckland",
        "PE": "America/Lima",
        "PH": "Asia/Manila",
        "PL": "Europe/Warsaw",
        "PT": "Europe/Lisbon",
        "RO": "Europe/Bucharest",
        "SE": "Europe/Stockholm",
        "SG": "Asia/Singapore",
        "SI": "Europe/Ljubljana",
        "SK": "Europe/Bratislava",
        "TH": "Asia/Bangkok",
        "TR": "Europe/Istanbul",
        "UA": "Europe/Kyiv Europe/Kiev",
        "US": "America/New_York America/Chicago America/Denver America/Phoenix America/Los_Angeles America/Detroit "
        "America/Anchorage America/Indiana/Indianapolis America/Indianapolis Pacific/Honolulu US/Eastern US/Central US/Mountain "
        "US/Pacific",
        "ZA": "Africa/Johannesburg",
    }.items()
    for zone in zones.split()
}
# Only currencies that stand for one country; the euro does not.
_BY_CURRENCY: Mapping[str, str] = {
    "AUD": "AU",
    "BRL": "BR",
    "CAD": "CA",
    "CHF": "CH",
    "CNY": "CN",
    "CZK": "CZ",
    "DKK": "DK",
    "GBP": "GB",
    "HKD": "HK",
    "HUF": "HU",
    "IDR": "ID",
    "INR": "IN",
    "JPY": "JP",
    "MXN": "MX",
    "NOK": "NO",
    "NZD": "NZ",
    "PLN": "PL",
    "RON": "RO",
    "SEK": "SE",
    "SGD": "SG",
    "USD": "US",
    "ZAR": "ZA",
}


def country_of(time_zone: str, currency: str) -> tuple[str | None, str]:
    """The country of the account with the reason, None where neither zone nor currency names one."""
    if time_zone in _BY_ZONE:
        return _BY_ZONE[time_zone], f"the account's time zone is {time_zone}"
    if currency in _BY_CURRENCY:
        return _BY_CURRENCY[currency], f"the account's currency is {currency}"
    return None, ""
