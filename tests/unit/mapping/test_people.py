"""What the document says of a person, read from their records."""

from app.mapping.derived import email_domain
from app.mapping.people import emails_of
from tests.unit.mapping.mapping_rig import contact


def test_of_several_emails_in_one_text_the_first_has_the_domain() -> None:
    """An exclusion of our own domain must not be decided by the last of a contact's other e-mails."""
    people = (contact(email="", hs_additional_emails="a@own.example;b@other.example"),)

    assert emails_of(("contact.email", "contact.hs_additional_emails"), people) == ("a@own.example", "b@other.example")
    assert email_domain(emails_of(("contact.hs_additional_emails",), people)) == "own.example"
