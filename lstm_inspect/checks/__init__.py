"""Checks models and traces against contracts, other models or traces, and genuine Keras."""
