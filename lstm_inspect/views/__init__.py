"""What a person sees: tables on a terminal, or as plain text where it is piped."""

from lstm_inspect.views.tables import print_shapes, print_trace, print_verification

__all__ = ["print_shapes", "print_trace", "print_verification"]
