"""Compares two models, dumps or arrays, down to the first number that differs."""
