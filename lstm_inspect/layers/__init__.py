"""Layers in front of a recurrence that have an exact few-line NumPy form, and those forms."""

from lstm_inspect.layers.forms import Form, Value, form_of

__all__ = ["Form", "Value", "form_of"]
