"""The quantization panel: what a scale and a zero point do to one filter."""
