"""The picture border: files to 8-bit sRGB arrays and back, degradation, overlays."""
