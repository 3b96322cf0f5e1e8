"""The files that Keras writes, to plain data: the config, and arrays under the file's own keys."""
