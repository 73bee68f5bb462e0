"""The Mixture of Agents itself, pure: it is given a plan and a way to ask, and yields events."""
