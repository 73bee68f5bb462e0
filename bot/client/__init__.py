"""One completion through the `together` SDK, and what services say when they refuse."""
