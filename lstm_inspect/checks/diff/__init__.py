"""Two models, two dumps or two arrays, down to the first number that differs."""
