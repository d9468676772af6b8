"""Networks as graphs of other formats, quantized or not, compared with the network that they were made from."""
