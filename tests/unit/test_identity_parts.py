import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.identity import IdentifierProblem, country_code, normalise_email, normalise_phone

ODD = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["", "\x00", "\udcff", "+44(0)7911 123456", "a@" + "é" * 300, "x" * 10_000, "é" * 10_000, " " * 10_000, "@", "00", "\u200b"]
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("JANE@EXAMPLE.COM", "jane@example.com"),
        ("\u200bjane@exam\u00adple.com\ufeff", "jane@example.com"),
        ("e\u0301lodie@exemple.fr", "élodie@exemple.fr"),
        ("info@BÜCHER.example", "info@xn--bcher-kva.example"),
        ("info@xn--bcher-kva.example", "info@xn--bcher-kva.example"),
        ("hans@faß.de", "hans@xn--fa-hia.de"),
        ("user@例え.jp", "user@xn--r8jz45g.jp"),
        ("jane @ example.com\r\n", "jane@example.com"),
        ("o'neil/x=y@sub.example.co.uk", "o'neil/x=y@sub.example.co.uk"),
    ],
)
def test_emails_are_brought_to_one_form(text: str, normal: str) -> None:
    """Two spellings of one mailbox must be one person."""
    assert normalise_email(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "a b@x.com",
        "nodomain",
        "a@b@c.de",
        "..@gmail.com",
        "+x@gmail.com",
        "@x.com",
        "a@",
        "a@localhost",
        "a@x..com",
        "a@-x.com",
        "a@x.c0m-",
        "a@1.2.3.4",
        "Jane <jane@x.com>",
        "a,b@x.com",
        "a@x.com;b@x.com",
        "a\x00b@x.com",
        "a\udcff@x.com",
        "a@\udcffx.com",
        "a@x.com.",
        "jane＠x.com",
        "a@" + "x" * 64 + ".com",
        "x" * 65 + "@x.com",
    ],
)
def test_implausible_emails_are_invalid(text: str) -> None:
    """A hash of garbage lowers the match rate and looks like data."""
    assert normalise_email(text) is IdentifierProblem.INVALID


@pytest.mark.parametrize(
    ("text", "region", "normal"),
    [
        ("+44(0)7911 123456", None, "+447911123456"),
        ("0044 (0) 20 7946 0018", "FR", "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("030 901820", "DE", "+4930901820"),
        ("+39 06 698 83712", None, "+390669883712"),
        ("415-555-0137 ext. 12", "US", "+14155550137"),
        ("1 415 555 0137", "US", "+14155550137"),
        ("011 44 20 7946 0018", "US", "+442079460018"),
        ("＋４４ ２０ ７９４６ ００１８", None, "+442079460018"),
        ("+44\u202020\u00a07946\u200b0018".replace("\u2020", " "), None, "+442079460018"),
    ],
)
def test_phones_are_brought_to_e164(text: str, region: str | None, normal: str) -> None:
    """People write one number in ten ways."""
    assert normalise_phone(text, region) == normal


@pytest.mark.parametrize(
    ("text", "region", "problem"),
    [
        ("(415) 555-0137", None, IdentifierProblem.NO_COUNTRY),
        ("14155550137", None, IdentifierProblem.NO_COUNTRY),
        ("555-0137", "US", IdentifierProblem.INVALID),
        ("+1 123 456 7890", None, IdentifierProblem.INVALID),
        ("+999 1234567", None, IdentifierProblem.INVALID),
        ("call me", "US", IdentifierProblem.INVALID),
        ("n/a", None, IdentifierProblem.INVALID),
        ("", "US", IdentifierProblem.EMPTY),
        ("1" * 100, "US", IdentifierProblem.TOO_LONG),
        ("+1 415\x00 555 0137", None, IdentifierProblem.INVALID),
    ],
)
def test_phones_that_are_not_valid_say_why(text: str, region: str | None, problem: IdentifierProblem) -> None:
    """Possible is not enough: a wrong number is another person's hash."""
    assert normalise_phone(text, region) is problem


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("us", "US"),
        ("U.S.A.", "US"),
        ("United States of America", "US"),
        ("DEU", "DE"),
        ("deutschland", "DE"),
        ("UK", "GB"),
        ("England", "GB"),
        ("The Netherlands", "NL"),
        ("Cote d’Ivoire", "CI"),
        ("CÔTE D'IVOIRE", "CI"),
        ("Turkey", "TR"),
        ("Türkiye", "TR"),
        ("日本", "JP"),
        ("대한민국", "KR"),
        ("Ελλάδα", "GR"),
        ("Bosnia and Herzegovina", "BA"),
        ("Niger", "NE"),
        ("Kingdom of Denmark", "DK"),
        ("Republic of the Congo", "CG"),
        ("Congo, the Democratic Republic of the", "CD"),
        ("Republic of Korea", "KR"),
        ("Atlantis", None),
        ("ZZ", None),
        ("", None),
        ("the", None),
        ("U" * 1_000_000, None),
    ],
)
def test_countries_by_code_and_name(text: str, code: str | None) -> None:
    """CRMs hold whatever the form's author chose; consent and phones hang on it."""
    assert country_code(text) == code


@settings(deadline=None)  # the machine's speed is not what is tested
@given(ODD | st.emails())
@example("a" * 60 + "@" + ".".join(["日本語"] * 13) + ".com")
@example("İ@x.com")
@example("a@ß.de")
def test_a_normal_email_is_its_own_normal_form(text: str) -> None:
    """Fingerprints of people are compared over years: normalising twice must change nothing."""
    normal = normalise_email(text)

    if not isinstance(normal, IdentifierProblem):
        assert normalise_email(normal) == normal


@settings(deadline=None)  # the machine's speed is not what is tested
@given(ODD, st.sampled_from([None, "US", "GB", "DE", "IT"]))
def test_a_normal_phone_is_its_own_normal_form(text: str, region: str | None) -> None:
    """What was E.164 stays E.164, whatever the region says."""
    normal = normalise_phone(text, region)

    if not isinstance(normal, IdentifierProblem):
        assert re.fullmatch(r"\+[1-9]\d{6,14}", normal)
        assert normalise_phone(normal, "FR") == normal
