"""One self-contained HTML file from finished results; nothing here computes."""
