"""Runs genuine Keras; only this package imports Keras and TensorFlow, and only when needed."""
