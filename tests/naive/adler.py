"""Adler-32 byte by byte, as RFC 1950 says it."""


def adler32(data, value=1):
    plain, weighted = value & 0xFFFF, value >> 16
    for byte in bytes(data):
        plain = (plain + byte) % 65521
        weighted = (weighted + plain) % 65521
    return weighted << 16 | plain
