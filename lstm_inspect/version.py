"""The version, which dumps state too."""

__version__ = "0.1.0"
