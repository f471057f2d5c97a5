import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.secrets import Fingerprints, Keyring, SecretsUnreadable, derive_key

OLD, NEW = "an old secret of an operator", "a new secret of an operator"


@given(st.binary(max_size=2000))
def test_sealed_bytes_open_to_what_was_sealed(plain: bytes) -> None:
    """Everything at rest goes through this pair; a lost byte is a lost identity."""
    keyring = Keyring.from_texts([NEW])

    sealed = keyring.seal(plain)

    assert keyring.open(sealed) == plain
    assert len(sealed) == 4 + 12 + len(plain) + 16
    assert keyring.seal(plain) != sealed


def test_rotation_opens_the_old_and_seals_with_the_new() -> None:
    """An operator rotates by putting the new key in front; nothing stored may become unreadable."""
    before = Keyring.from_texts([OLD]).seal(b"x")
    rotated = Keyring.from_texts([NEW, OLD])

    assert rotated.open(before) == b"x"
    assert not rotated.is_newest(before)
    assert Keyring.from_texts([NEW]).open(rotated.seal(b"y")) == b"y"


def test_wrong_key_says_what_to_do_and_shows_nothing() -> None:
    """The usual cause is a lost LEADLOOP_SECRET_KEY: the message must name it and hold no secret."""
    sealed = Keyring.from_texts([OLD]).seal(b"plain content")

    with pytest.raises(SecretsUnreadable, match="LEADLOOP_SECRET_KEY") as caught:
        Keyring.from_texts([NEW]).open(sealed)

    assert OLD not in str(caught.value)
    assert NEW not in str(caught.value)
    assert "plain content" not in str(caught.value)


@pytest.mark.parametrize("place", [4, 20, -1])
def test_an_altered_byte_is_noticed(place: int) -> None:
    """Sealed bytes are authenticated, so that a damaged backup does not give a wrong person."""
    keyring = Keyring.from_texts([NEW])
    sealed = bytearray(keyring.seal(b"0123456789"))

    sealed[place] ^= 1

    with pytest.raises(SecretsUnreadable, match="altered"):
        keyring.open(bytes(sealed))


def test_a_cut_value_is_unreadable_not_a_crash() -> None:
    """A half-written value must give the error that callers know."""
    with pytest.raises(SecretsUnreadable):
        Keyring.from_texts([NEW]).open(b"abc")


def test_reprs_show_no_key() -> None:
    """Reprs end in logs and tracebacks."""
    key = derive_key(NEW)
    shown = repr(Keyring([key])) + repr(Fingerprints(key)) + str(Keyring([key]))

    assert shown == "Keyring(1 keys)Fingerprints()Keyring(1 keys)"


def test_keys_must_be_derived() -> None:
    """A text used as a key by mistake would seal with too little."""
    with pytest.raises(ValueError, match="32 bytes"):
        Keyring([NEW.encode()])
    with pytest.raises(ValueError, match="at least one"):
        Keyring([])


def test_fingerprints_keep_kinds_and_keys_apart() -> None:
    """Equal e-mails must meet, and nothing else may."""
    first, second = Fingerprints(b"1" * 32), Fingerprints(b"2" * 32)

    assert first.of("email", "a@b.example") == Fingerprints(b"1" * 32).of("email", "a@b.example")
    assert len(first.of("email", "x")) == 16
    assert len({first.of("email", "x"), first.of("phone", "x"), first.of("email", "y"), second.of("email", "x")}) == 4
