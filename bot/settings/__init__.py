"""Settings: what the user chose, where it was said, and what follows from it for the mixture.

    option, options ── what an option is, and the one table of them
       │
    values, references ── a value's reading and checking, from text or from TOML
       │
    files ── TOML tables read strictly          paths ── where everything lies
       │
    user ── config.toml   endpoints   catalogue   presets ◄── preset_reader
       │
    resolve ──► Settings ──► plan ──► Plan (for the mixture)
                     └─────► show (for people)

Nothing is imported here: each module on the way to the prompt is paid for only where it is used.
"""
