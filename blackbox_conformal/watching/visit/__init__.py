"""One visit of a watch: its draws, comparisons and conclusions."""
