"""What a replay recorded: in memory, on disk in any format, and in figures."""
