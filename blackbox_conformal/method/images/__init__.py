"""Pictures: files to 8-bit sRGB arrays and back, degradation, duplicates, overlays."""
