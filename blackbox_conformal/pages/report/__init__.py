"""The HTML report and the comparison page, made from stored results."""
