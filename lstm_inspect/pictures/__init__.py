"""Pictures of one signal of one sequence: units by timesteps, in a terminal, a file or a notebook.

They stand below the traces, so that a trace can show itself.
"""
