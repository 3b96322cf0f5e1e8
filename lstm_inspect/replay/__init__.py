"""Replays a model: computes its layers and records the signals of the recurrent ones."""
