"""The gateway: a calibrated vendor behind an HTTP server that speaks the dialects of known services."""
