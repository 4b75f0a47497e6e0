"""Ed25519 by plain arithmetic on points (x, y), as RFC 8032 defines it; slow, and not for secrets."""

from hashlib import sha512

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, -1, PRIME) % PRIME


def add(one, other):
    """The sum of two points."""
    (x1, y1), (x2, y2) = one, other
    product = CURVE * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, PRIME)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, PRIME)
    return x % PRIME, y % PRIME


def times(number, point):
    """The sum of so many times a point."""
    total = (0, 1)
    while number:
        if number % 2:
            total = add(total, point)
        point = add(point, point)
        number //= 2
    return total


def decode(data):
    """The point in 32 bytes; None where they hold none in its one encoding."""
    whole = int.from_bytes(data, "little")
    y, odd = whole % 2**255, whole >> 255
    if y >= PRIME:
        return None
    square = (y * y - 1) * pow(CURVE * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    if x * x % PRIME != square or (x == 0 and odd):
        return None
    return (PRIME - x if x % 2 != odd else x), y


def encode(point):
    """A point as 32 bytes."""
    x, y = point
    return (y + (x % 2 << 255)).to_bytes(32, "little")


BASE = decode((4 * pow(5, -1, PRIME) % PRIME).to_bytes(32, "little"))


def verifies(public, message, signature):
    """Whether `signature` is one of `message` with the key `public`."""
    point, nonce = decode(public), decode(signature[:32])
    number = int.from_bytes(signature[32:], "little")
    if point is None or nonce is None or number >= ORDER:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return times(number, BASE) == add(nonce, times(challenge, point))


def points_of_small_order():
    """The 8 points that 8 times are nothing."""
    for y in range(2, 100):
        point = decode(y.to_bytes(32, "little"))
        one = None if point is None else times(ORDER, point)
        if one is not None and times(4, one) != (0, 1):
            return [times(count, one) for count in range(8)]
    raise AssertionError("expected a point whose order is a multiple of 8")
