"""Pictures of one signal of one sequence: units by timesteps, in a terminal, a file or a notebook.

They stand below the traces, so that a trace can show itself.
"""

TEXT_WIDTH = 100
"""How many columns a picture has outside of a terminal: most windows and files are as wide."""
