"""The library behind `import bot`."""
