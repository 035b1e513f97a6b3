"""Ciphertexts made by crypto-js and openssl open to the very text that went in."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import CipherError
from pipelines.sources.payshack.cipher import ResponseCipher

VECTORS = json.loads((Path(__file__).parent / "vectors" / "payshack_cipher.json").read_text(encoding="utf-8"))


def title(vector: dict[str, Any]) -> str:
    return f"{vector['scheme']}-{vector['made_by'].split()[0]}-{vector['name']}"


@pytest.mark.parametrize("vector", VECTORS, ids=title)
def test_ciphertexts_of_other_programs_open_letter_for_letter(vector: dict[str, Any]) -> None:
    cipher = ResponseCipher(vector["secret"], vector["iv"])
    opened = cipher.open(json.dumps(vector["data"]).encode(), checksum=vector["checksum"], place="/list")
    assert opened.decode().strip() == vector["plain"].strip()


@pytest.mark.parametrize("vector", VECTORS, ids=title)
def test_another_secret_opens_nothing(vector: dict[str, Any]) -> None:
    cipher = ResponseCipher(vector["secret"] + "x", vector["iv"])
    with pytest.raises(CipherError) as caught:
        cipher.open(json.dumps(vector["data"]).encode(), checksum=vector["checksum"], place="/list")
    assert "/list" in str(caught.value)
    assert vector["scheme"] in str(caught.value)
    assert vector["secret"] not in str(caught.value)


def test_both_forms_are_covered_by_both_programs() -> None:
    made = {(vector["scheme"], vector["made_by"].split()[0]) for vector in VECTORS}
    assert made == {(scheme, program) for scheme in ("passphrase", "merchant") for program in ("crypto-js", "openssl")}
