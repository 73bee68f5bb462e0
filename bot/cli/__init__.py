"""The command line: commands, options, streams. What they do is done elsewhere."""
