"""PNG's row filters undone byte by byte, in whole numbers, as the recommendation words it."""


def unfilter(filtered, width, above=None, pixel=3):
    """Rows of `width` bytes, `pixel` of them each; `above` is the row before the first."""
    above = [0] * width if above is None else list(above)
    rows = []
    for start in range(0, len(filtered), width + 1):
        kind, row = filtered[start], []
        for i in range(width):
            a = row[i - pixel] if i >= pixel else 0
            b = above[i]
            c = above[i - pixel] if i >= pixel else 0
            guess = {0: 0, 1: a, 2: b, 3: (a + b) // 2, 4: paeth(a, b, c)}[int(kind)]
            row.append((int(filtered[start + 1 + i]) + guess) % 256)
        rows.append(row)
        above = row
    return rows


def paeth(a, b, c):
    estimate = a + b - c
    distances = [abs(estimate - a), abs(estimate - b), abs(estimate - c)]
    return [a, b, c][distances.index(min(distances))]
