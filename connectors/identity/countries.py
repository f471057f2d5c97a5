"""Countries: ISO 3166-1 codes and the names that people and CRMs write. Data and one lookup, nothing else."""

import re
import unicodedata

# ISO 3166-1 alpha-2, alpha-3, names parted by slashes (XK is the code in use for Kosovo).
_COUNTRIES = """
AD AND Andorra; AE ARE United Arab Emirates; AF AFG Afghanistan; AG ATG Antigua and Barbuda; AI AIA Anguilla;
AL ALB Albania; AM ARM Armenia; AO AGO Angola; AQ ATA Antarctica; AR ARG Argentina; AS ASM American Samoa;
AT AUT Austria/Österreich/Oesterreich/Autriche; AU AUS Australia; AW ABW Aruba; AX ALA Åland Islands;
AZ AZE Azerbaijan; BA BIH Bosnia and Herzegovina; BB BRB Barbados; BD BGD Bangladesh;
BE BEL Belgium/België/Belgique/Belgien; BF BFA Burkina Faso; BG BGR Bulgaria/България/Bulgarien; BH BHR Bahrain;
BI BDI Burundi; BJ BEN Benin; BL BLM Saint Barthélemy; BM BMU Bermuda; BN BRN Brunei/Brunei Darussalam;
BO BOL Bolivia/Plurinational State of Bolivia/Bolivia, Plurinational State of;
BQ BES Bonaire, Sint Eustatius and Saba/Caribbean Netherlands; BR BRA Brazil/Brasil/Brasilien; BS BHS Bahamas;
BT BTN Bhutan; BV BVT Bouvet Island; BW BWA Botswana; BY BLR Belarus; BZ BLZ Belize; CA CAN Canada/Kanada;
CC CCK Cocos Islands/Cocos (Keeling) Islands/Keeling Islands;
CD COD Democratic Republic of the Congo/DR Congo/DRC/Congo, Democratic Republic of the/Congo, the Democratic Republic of the/
Congo Kinshasa;
CF CAF Central African Republic; CG COG Congo/Republic of the Congo/Congo Brazzaville;
CH CHE Switzerland/Schweiz/Suisse/Svizzera; CI CIV Côte d'Ivoire/Ivory Coast; CK COK Cook Islands; CL CHL Chile;
CM CMR Cameroon; CN CHN China/People's Republic of China/中国/中國; CO COL Colombia; CR CRI Costa Rica; CU CUB Cuba;
CV CPV Cape Verde/Cabo Verde; CW CUW Curaçao; CX CXR Christmas Island; CY CYP Cyprus;
CZ CZE Czechia/Czech Republic/Česko/Česká republika/Tschechien;
DE DEU Germany/Deutschland/Federal Republic of Germany/Allemagne/Alemania; DJ DJI Djibouti;
DK DNK Denmark/Danmark/Dänemark; DM DMA Dominica; DO DOM Dominican Republic; DZ DZA Algeria; EC ECU Ecuador;
EE EST Estonia/Eesti; EG EGY Egypt; EH ESH Western Sahara; ER ERI Eritrea; ES ESP Spain/España/Spanien/Espagne;
ET ETH Ethiopia; FI FIN Finland/Suomi/Finnland; FJ FJI Fiji;
FK FLK Falkland Islands/Malvinas/Falkland Islands (Malvinas);
FM FSM Micronesia/Federated States of Micronesia/Micronesia, Federated States of; FO FRO Faroe Islands;
FR FRA France/Frankreich/Francia/French Republic; GA GAB Gabon;
GB GBR United Kingdom/United Kingdom of Great Britain and Northern Ireland/Great Britain/Britain/England/
Scotland/Wales/Northern Ireland/Royaume-Uni/Vereinigtes Königreich/Großbritannien;
GD GRD Grenada; GE GEO Georgia; GF GUF French Guiana; GG GGY Guernsey; GH GHA Ghana; GI GIB Gibraltar;
GL GRL Greenland; GM GMB Gambia; GN GIN Guinea; GP GLP Guadeloupe; GQ GNQ Equatorial Guinea;
GR GRC Greece/Hellas/Ελλάδα/Griechenland; GS SGS South Georgia and the South Sandwich Islands; GT GTM Guatemala;
GU GUM Guam; GW GNB Guinea-Bissau; GY GUY Guyana; HK HKG Hong Kong/Hong Kong SAR/香港;
HM HMD Heard Island and McDonald Islands; HN HND Honduras; HR HRV Croatia/Hrvatska/Kroatien; HT HTI Haiti;
HU HUN Hungary/Magyarország/Ungarn; ID IDN Indonesia; IE IRL Ireland/Éire/Republic of Ireland/Irland;
IL ISR Israel; IM IMN Isle of Man; IN IND India/भारत; IO IOT British Indian Ocean Territory; IQ IRQ Iraq;
IR IRN Iran/Islamic Republic of Iran/Iran, Islamic Republic of; IS ISL Iceland/Ísland;
IT ITA Italy/Italia/Italien/Italie; JE JEY Jersey; JM JAM Jamaica; JO JOR Jordan; JP JPN Japan/日本; KE KEN Kenya;
KG KGZ Kyrgyzstan; KH KHM Cambodia; KI KIR Kiribati; KM COM Comoros; KN KNA Saint Kitts and Nevis;
KP PRK North Korea/Democratic People's Republic of Korea/Korea, Democratic People's Republic of;
KR KOR South Korea/Korea/Republic of Korea/Korea, Republic of/한국/대한민국; KW KWT Kuwait; KY CYM Cayman Islands;
KZ KAZ Kazakhstan; LA LAO Laos/Lao People's Democratic Republic; LB LBN Lebanon; LC LCA Saint Lucia;
LI LIE Liechtenstein; LK LKA Sri Lanka; LR LBR Liberia; LS LSO Lesotho; LT LTU Lithuania/Lietuva;
LU LUX Luxembourg/Luxemburg; LV LVA Latvia/Latvija; LY LBY Libya; MA MAR Morocco; MC MCO Monaco;
MD MDA Moldova/Republic of Moldova/Moldova, Republic of; ME MNE Montenegro;
MF MAF Saint Martin/Saint Martin (French part); MG MDG Madagascar; MH MHL Marshall Islands;
MK MKD North Macedonia/Macedonia/The former Yugoslav Republic of Macedonia; ML MLI Mali; MM MMR Myanmar/Burma;
MN MNG Mongolia; MO MAC Macao/Macau; MP MNP Northern Mariana Islands; MQ MTQ Martinique; MR MRT Mauritania;
MS MSR Montserrat; MT MLT Malta; MU MUS Mauritius; MV MDV Maldives; MW MWI Malawi; MX MEX Mexico/México;
MY MYS Malaysia; MZ MOZ Mozambique; NA NAM Namibia; NC NCL New Caledonia; NE NER Niger; NF NFK Norfolk Island;
NG NGA Nigeria; NI NIC Nicaragua; NL NLD Netherlands/Nederland/Holland/Niederlande/Pays-Bas;
NO NOR Norway/Norge/Norwegen; NP NPL Nepal; NR NRU Nauru; NU NIU Niue; NZ NZL New Zealand; OM OMN Oman;
PA PAN Panama; PE PER Peru; PF PYF French Polynesia; PG PNG Papua New Guinea; PH PHL Philippines;
PK PAK Pakistan; PL POL Poland/Polska/Polen; PM SPM Saint Pierre and Miquelon; PN PCN Pitcairn/Pitcairn Islands;
PR PRI Puerto Rico; PS PSE Palestine/State of Palestine/Palestine, State of/Palestinian Territories;
PT PRT Portugal; PW PLW Palau; PY PRY Paraguay; QA QAT Qatar; RE REU Réunion; RO ROU Romania/România/Rumänien;
RS SRB Serbia/Srbija/Србија; RU RUS Russia/Russian Federation/Россия/Russland; RW RWA Rwanda;
SA SAU Saudi Arabia; SB SLB Solomon Islands; SC SYC Seychelles; SD SDN Sudan; SE SWE Sweden/Sverige/Schweden;
SG SGP Singapore; SH SHN Saint Helena, Ascension and Tristan da Cunha/Saint Helena;
SI SVN Slovenia/Slovenija/Slowenien; SJ SJM Svalbard and Jan Mayen;
SK SVK Slovakia/Slovensko/Slovak Republic/Slowakei; SL SLE Sierra Leone; SM SMR San Marino; SN SEN Senegal;
SO SOM Somalia; SR SUR Suriname; SS SSD South Sudan; ST STP São Tomé and Príncipe; SV SLV El Salvador;
SX SXM Sint Maarten/Sint Maarten (Dutch part); SY SYR Syria/Syrian Arab Republic; SZ SWZ Eswatini/Swaziland;
TC TCA Turks and Caicos Islands; TD TCD Chad; TF ATF French Southern Territories; TG TGO Togo; TH THA Thailand;
TJ TJK Tajikistan; TK TKL Tokelau; TL TLS Timor-Leste/East Timor; TM TKM Turkmenistan; TN TUN Tunisia;
TO TON Tonga; TR TUR Türkiye/Turkey/Türkei; TT TTO Trinidad and Tobago; TV TUV Tuvalu;
TW TWN Taiwan/Taiwan, Province of China/臺灣/台灣/台湾;
TZ TZA Tanzania/United Republic of Tanzania/Tanzania, United Republic of; UA UKR Ukraine/Україна; UG UGA Uganda;
UM UMI United States Minor Outlying Islands;
US USA United States/United States of America/America/Estados Unidos/États-Unis/Vereinigte Staaten;
UY URY Uruguay; UZ UZB Uzbekistan; VA VAT Vatican City/Holy See/Vatican/Holy See (Vatican City State);
VC VCT Saint Vincent and the Grenadines;
VE VEN Venezuela/Bolivarian Republic of Venezuela/Venezuela, Bolivarian Republic of;
VG VGB British Virgin Islands/Virgin Islands, British;
VI VIR U.S. Virgin Islands/Virgin Islands, U.S./United States Virgin Islands; VN VNM Vietnam/Viet Nam/Việt Nam;
VU VUT Vanuatu; WF WLF Wallis and Futuna; WS WSM Samoa; XK XKX Kosovo; YE YEM Yemen; YT MYT Mayotte;
ZA ZAF South Africa/Südafrika; ZM ZMB Zambia; ZW ZWE Zimbabwe
"""

# What people write, though ISO gives it to nobody, or to nobody any more.
_MORE_CODES = {"uk": "GB", "el": "GR"}

LONGEST_NAME = 100

_POLITY = re.compile("^(?:the)?(?:(?:republic|kingdom|state|principality|commonwealth)of)?(?:the)?")


def name_key(text: str) -> str:
    """A name as it is compared: letters only, caseless, without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text).casefold() if letter.isalpha())


def _table() -> dict[str, str]:
    codes = dict(_MORE_CODES)
    for row in _COUNTRIES.replace("\n", " ").split(";"):
        alpha2, alpha3, names = row.strip().split(" ", 2)
        for written in (alpha2, alpha3, *names.split("/")):
            codes[name_key(written)] = alpha2
    return codes


_CODE_OF = _table()


def country_code(text: str) -> str | None:
    """ISO 3166-1 alpha-2 of a code or a name ("Germany", "DEU", "u.s.a."), None where it is neither."""
    if len(text) > LONGEST_NAME:
        return None
    key = name_key(text)
    return _CODE_OF.get(key) or _CODE_OF.get(_POLITY.sub("", key, count=1))
