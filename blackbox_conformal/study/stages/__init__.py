"""Take one picture from its file to its curve or certificate: settings, prepare, draws, evaluate, certify."""
