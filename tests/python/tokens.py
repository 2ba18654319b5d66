"""Texts that look like gateway tokens and are none."""

import random
import string
import zlib

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def made_up(valid_checksum):
    """A text of the form of a token that nobody has issued."""
    rng = random.Random(20)
    head = "cdr_" + "".join(rng.choices(DIGITS, k=10)) + "_" + "".join(rng.choices(DIGITS, k=22))
    value = zlib.crc32(head.encode())
    if not valid_checksum:
        value ^= 1
    checksum = ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        checksum = DIGITS[digit] + checksum
    return head + checksum
