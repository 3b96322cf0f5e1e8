"""The replay: walks the calls of a plan, and records what its recurrent layers do."""
