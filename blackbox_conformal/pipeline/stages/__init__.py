"""The steps that every use shares, in order: settings, prepare, draws, evaluate, certify; and what fits into memory."""
