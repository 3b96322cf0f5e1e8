"""Contracts on the sizes of states: reads and writes them, and checks models against them."""
