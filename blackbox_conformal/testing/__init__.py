"""Tools for adapter authors to test against: the contract checks and the fault server.

The one fake server is `fault_server`; every fault is a row of its tables. It plays one of two vendors: `fault_vendor`
sells pictures over two dialects to the sampler and the commands; `replay` answers by an adapter's own example, so that
any vendor's adapter meets the same faults. `blackbox_conformal.embedded` is no test double but the demonstration vendor
that users draw from.
"""
