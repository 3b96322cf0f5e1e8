"""Contracts on the dimensions of states: reading and writing them, and holding models to them."""
