"""Models on this computer: services that run here already, and a built-in engine.

    discovery    ── which services listen on the loopback addresses, and which models they have
    local_preset ── a mixture of those models: different families, the largest aggregates
    model_files  ── which file local:NAME is; hub ── downloads a file that is not here yet
    gguf_header  ── what a model file says of itself, and whether it is complete
    engine_cache ─► engine_process ─► engine_server   one process per model, each an OpenAI-compatible service
    local_pool   ── the worker pool, whose calls to local:NAME go to those processes

Nothing is imported here, and no service is asked unless local models are wanted.
"""
