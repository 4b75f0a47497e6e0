"""The parts of an audit: which rule, which claims and verdicts, the worst places, the document."""
