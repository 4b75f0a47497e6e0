"""The bets on change points by plain loops over numbers, one product for each change point and direction."""


def wealth(p_values, hazard, doubt):
    """The whole capital after each p-value."""
    found = []
    for n in range(1, len(p_values) + 1):
        total = (1 - hazard) ** n
        for first in range(1, n + 1):
            for upwards in (True, False):
                product = (1 - hazard) ** (first - 1) * hazard / 2
                for visit in range(first, n + 1):
                    p_value = p_values[visit - 1] if upwards else 1 - p_values[visit - 1]
                    stretch = (visit - first + 1) / visit
                    product *= doubt + ((1 - doubt) / stretch if p_value <= stretch else 0)
                total += product
        found.append(total)
    return found


def visit_p_value(rows, tie):
    """That of the last of rows of numbers, one number a canary."""

    def place(row):
        found = 0.0
        for canary, value in enumerate(row):
            for other in rows:
                found += 1.0 if other[canary] < value else 0.5 if other[canary] == value else 0.0
        return found

    places = [place(row) for row in rows]
    above = sum(one > places[-1] for one in places)
    equal = sum(one == places[-1] for one in places)
    return (above + tie * equal) / len(rows)
