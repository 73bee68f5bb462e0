"""Questions of one's own: asked of several arms, scored, compared."""
