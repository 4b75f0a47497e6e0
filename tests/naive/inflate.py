"""Deflate bit by bit, as RFC 1951 says it: codes are looked for in a dictionary, one bit longer each time."""

LENGTHS = [(3 + k, 0) for k in range(8)]
for extra in range(1, 6):
    for _ in range(4):
        LENGTHS.append((LENGTHS[-1][0] + (1 << LENGTHS[-1][1]), extra))
LENGTHS[-1:] = [LENGTHS[-1], (258, 0)]
DISTANCES = [(1 + k, 0) for k in range(4)]
for extra in range(1, 14):
    for _ in range(2):
        DISTANCES.append((DISTANCES[-1][0] + (1 << DISTANCES[-1][1]), extra))
ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]


class Bits:
    def __init__(self, data):
        self.bits = [byte >> k & 1 for byte in data for k in range(8)]
        self.place = 0

    def take(self, count):
        taken = self.bits[self.place : self.place + count]
        self.place += count
        return sum(bit << k for k, bit in enumerate(taken))

    def symbol(self, code):
        path = ""
        while path not in code:
            path += str(self.take(1))
        return code[path]


def code_of(lengths):
    code, value = {}, 0
    for length in range(1, 16):
        for symbol, own in enumerate(lengths):
            if own == length:
                code[format(value, f"0{length}b")] = symbol
                value += 1
        value <<= 1
    return code


def codes_of(bits):
    literals, distances, given = bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4
    of_lengths = [0] * 19
    for k in range(given):
        of_lengths[ORDER[k]] = bits.take(3)
    code, lengths = code_of(of_lengths), []
    while len(lengths) < literals + distances:
        symbol = bits.symbol(code)
        if symbol < 16:
            lengths.append(symbol)
        elif symbol == 16:
            lengths += [lengths[-1]] * (3 + bits.take(2))
        else:
            lengths += [0] * (3 + bits.take(3) if symbol == 17 else 11 + bits.take(7))
    return code_of(lengths[:literals]), code_of(lengths[literals:])


def inflate(data):
    """The output of a stream without mistakes."""
    bits, out = Bits(data), bytearray()
    last = 0
    while not last:
        last, kind = bits.take(1), bits.take(2)
        if kind == 0:
            bits.place += -bits.place % 8
            length = bits.take(16)
            bits.take(16)
            out += bytes(bits.take(8) for _ in range(length))
            continue
        fixed = code_of([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8), code_of([5] * 32)
        literals, distances = fixed if kind == 1 else codes_of(bits)
        while (symbol := bits.symbol(literals)) != 256:
            if symbol < 256:
                out.append(symbol)
                continue
            least, extra = LENGTHS[symbol - 257]
            length = least + bits.take(extra)
            least, extra = DISTANCES[bits.symbol(distances)]
            distance = least + bits.take(extra)
            for _ in range(length):
                out.append(out[-distance])
    return bytes(out)
