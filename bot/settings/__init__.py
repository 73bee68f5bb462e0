"""Settings: what the user chose, and where each value comes from.

    option, options ── what an option is, and the table of all options
       │
    values, model_names ── one value, read from text or TOML and checked
       │
    files ── TOML tables read strictly          paths ── where all files are
       │
    user_file ── config.toml   endpoints ◄── credentials   catalogue   presets ◄── preset
       │
    resolve ──► Settings ──► show (for people)

    config_key, edit ── changing config.toml

Nothing is imported here: each module is imported only where it is used, which keeps the start short.
"""
