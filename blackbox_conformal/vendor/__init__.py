"""What a vendor is: the contract of adapters, their prices, rates and refusals, and a recorded example."""
