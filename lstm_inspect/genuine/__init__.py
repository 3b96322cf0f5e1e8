"""Genuine Keras and TensorFlow: the only room that imports them, and only when they are needed."""
