"""Getting to a working mixture: the guided set-up, and the checks of `moa-bot doctor`.

    guided_setup ── needed? ──► setup_dialog asks the user, saves a key, writes config.toml
                                 └── choose_models    a mixture of the models that a service lists
    checks ── reports what works, what does not, and what to do
     ├── system_checks    … on this computer: versions, terminal, store, log, proxies
     └── services         … at the services: keys, model lists, a call to each model

    fetch_models ── fetches a preset's model files, and offers that where --local or --starter finds none

Nothing here is needed for a prompt whose key is set.
"""

from bot.onboarding.guided_setup import run_guided_setup

__all__ = ["run_guided_setup"]
