"""Getting to a working mixture: the guided set-up, and the checks of `moa-bot doctor`.

    guide ── asks a person, keeps a key, writes config.toml ──► settings for the chat
     └── mixture     a preset out of the models that a service lists
    checks ── tells what works and what does not, and what to do
     ├── machine     … on this computer: versions, terminal, store, log, proxies
     └── services    … at the services: keys, lists of models, a call to each model

Nothing here is needed on the way to a prompt that has its key.
"""

from bot.onboarding.guide import guided

__all__ = ["guided"]
