"""Statistics of a small picture (no side over 1024 pixels) by plain loops over pixels.

Nothing here is fast and nothing here imports the package.
"""

import math
from statistics import median


def brightness(pixels):
    """Rows of whole numbers, 256ths of a grey level."""
    return [[77 * int(r) + 150 * int(g) + 29 * int(b) for r, g, b in row] for row in pixels]


def colour(pixels, channel):
    """Rows of a channel less green, 256ths of a grey level."""
    return [[256 * (int(pixel[channel]) - int(pixel[1])) for pixel in row] for row in pixels]


def halved(plane):
    """Means over 2 x 2 pixels, halves rounded up."""
    return [
        [
            math.floor((plane[y][x] + plane[y][x + 1] + plane[y + 1][x] + plane[y + 1][x + 1] + 2) / 4)
            for x in range(0, len(plane[0]) - 1, 2)
        ]
        for y in range(0, len(plane) - 1, 2)
    ]


def energies(planes):
    """Log energies of up to five octaves."""
    found = []
    while len(found) < 5 and planes[0] and min(len(planes[0]), len(planes[0][0])) >= 2:
        total = 0.0
        for plane in planes:
            height, width = len(plane), len(plane[0])
            steps = [plane[y][x + 1] - plane[y][x] for y in range(height) for x in range(width - 1)]
            steps += [plane[y + 1][x] - plane[y][x] for y in range(height - 1) for x in range(width)]
            total += sum(step * step for step in steps) / len(steps) / 65536
        found.append(math.log2(total + 0.25))
        planes = [halved(plane) for plane in planes]
    return found


def sharpness(found):
    """The finest octave less the next."""
    return found[0] - found[1] if len(found) > 1 else 0.0


def spectrum(found):
    """Two plus the slope of a straight line through the other octaves."""
    coarse = found[1:]
    if len(coarse) < 2:
        return 2.0
    middle, mean = (len(coarse) - 1) / 2, sum(coarse) / len(coarse)
    above = sum((k - middle) * (value - mean) for k, value in enumerate(coarse))
    return 2.0 + above / sum((k - middle) ** 2 for k in range(len(coarse)))


def clipped(pixel):
    """Whether a channel is at an end of its range."""
    return any(value in (0, 255) for value in pixel)


def noise(pixels):
    """Median diagonal Haar coefficient of the flattest quarter of unclipped blocks, as a standard deviation."""
    plane = brightness(pixels)
    found = []
    for top in range(0, len(plane) - 7, 8):
        for left in range(0, len(plane[0]) - 7, 8):
            if any(clipped(pixels[y][x]) for y in range(top, top + 8) for x in range(left, left + 8)):
                continue
            block = [row[left : left + 8] for row in plane[top : top + 8]]
            means = [value for row in halved(block) for value in row]
            diagonal = [
                abs(block[y][x] - block[y][x + 1] - block[y + 1][x] + block[y + 1][x + 1]) / 2
                for y in range(0, 8, 2)
                for x in range(0, 8, 2)
            ]
            found.append((max(means) - min(means), diagonal))
    if not found:
        return 0.0
    limit = sorted(flatness for flatness, _ in found)[(len(found) - 1) // 4]
    return median(value for flatness, diagonal in found if flatness <= limit for value in diagonal) / 256 / 0.6745


def border_shares(rows):
    """How often a step before column k, k + 8, ... is larger than the steps on both sides of it."""
    hits, tries = [0] * 8, [0] * 8
    for row in rows:
        for x in range(2, len(row) - 1):
            before, step, after = (abs(row[j] - row[j - 1]) for j in (x - 1, x, x + 1))
            hits[x % 8] += step > before and step > after
            tries[x % 8] += 1
    return [hit / count for hit, count in zip(hits, tries, strict=True)]


def blockiness(pixels):
    """Excess of the corner's grid, and the largest excess of any other."""
    plane = brightness(pixels)
    if min(len(plane), len(plane[0])) < 16:
        return 0.0, 0.0
    corner, other = [], []
    for rows in (plane, [list(column) for column in zip(*plane, strict=True)]):
        shares = border_shares(rows)
        excess = [share - (sum(shares) - share) / 7 for share in shares]
        corner.append(excess[0])
        other.append(max(excess[1:]))
    return sum(corner) / 2, sum(other) / 2


def row(pixels):
    """All statistics in their order."""
    every = [pixel for line in pixels for pixel in line]
    of_brightness = energies([brightness(pixels)])
    return [
        sharpness(of_brightness),
        sharpness(energies([colour(pixels, 0), colour(pixels, 2)])),
        noise(pixels),
        *blockiness(pixels),
        spectrum(of_brightness),
        math.log2(len(every)),
        sum(int(max(pixel)) - int(min(pixel)) for pixel in every) / 255 / len(every),
        sum(clipped(pixel) for pixel in every) / len(every),
    ]
