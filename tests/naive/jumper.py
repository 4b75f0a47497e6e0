"""The simple jumper by plain loops over numbers, as algorithm 8.1 of Vovk, Gammerman and Shafer (2022) has it."""


def wealth(p_values, bets, jump):
    """The capital after each p-value."""
    capital = {bet: 1.0 / len(bets) for bet in bets}
    found = []
    for p_value in p_values:
        total = sum(capital.values())
        for bet in bets:
            capital[bet] = (1 - jump) * capital[bet] + jump / len(bets) * total
        for bet in bets:
            capital[bet] *= 1 + bet * (p_value - 0.5)
        found.append(sum(capital.values()))
    return found
