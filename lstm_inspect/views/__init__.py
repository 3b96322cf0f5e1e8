"""Shows results: tables, reports and a progress bar, on a terminal or as plain text."""
