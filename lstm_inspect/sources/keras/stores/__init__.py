"""Reads the files that Keras writes into plain data: a config, and arrays by the file's keys."""
