"""What a conversation needs, opened and closed together: settings in, turns out."""
