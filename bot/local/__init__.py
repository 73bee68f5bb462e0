"""Models on this computer: services that run here already, and an engine of our own.

    discovery ── which services listen on the loopback addresses, and what they have installed
    mixture   ── a mixture out of what is there: diverse families first, the largest aggregates
    files     ── local:NAME is which file; hub ── fetches one that is not here yet
    gguf      ── what a model's file says of itself, and whether it is whole
    engines ─► engine ─► child     one process a model, each an OpenAI-compatible service
    pool      ── the pool of workers, whose calls to local:… go to those

Nothing here is imported, and nobody is asked, unless models of this computer are wanted.
"""
