"""Encrypted picture URLs: AES-CBC with PKCS #7 padding, the vector before the ciphertext, as imgproxy Pro has them."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

_BLOCK = 16


class Cipherer:
    """`key` has 16, 24 or 32 bytes. Raises ValueError for any other length."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = AES(key)

    def decrypt(self, data: bytes) -> str:
        """Raises ValueError, without saying what of it was wrong: who may ask and see could otherwise learn the text byte by
        byte from whether its padding is right (Vaudenay 2002)."""
        vector, text = data[:_BLOCK], data[_BLOCK:]
        decryptor = Cipher(self._algorithm, CBC(vector)).decryptor()
        padded = decryptor.update(text) + decryptor.finalize()
        unpadder = PKCS7(8 * _BLOCK).unpadder()
        return (unpadder.update(padded) + unpadder.finalize()).decode()

    def encrypt(self, url: str, vector: bytes) -> bytes:
        """`vector`: 16 bytes; the same ones for the same URL, or no cache in front would know it again."""
        padder = PKCS7(8 * _BLOCK).padder()
        padded = padder.update(url.encode()) + padder.finalize()
        encryptor = Cipher(self._algorithm, CBC(vector)).encryptor()
        return vector + encryptor.update(padded) + encryptor.finalize()
