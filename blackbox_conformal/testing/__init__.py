"""What adapter authors test against: the contract checks and the fault server.

There is one fake server, `fault_server`, and every fault is a row of its tables. It plays one of two vendors.
`fault_vendor` sells pictures over two dialects of its own, to the sampler and to the commands. `replay` gives an
adapter's own example as answers, so that any vendor's adapter meets the same faults. `blackbox_conformal.embedded` is
no test double: it is the demonstration vendor that users draw from.
"""
