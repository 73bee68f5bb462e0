"""moa-bot as a service: any client of the OpenAI API becomes a client of a Mixture of Agents.

    client ─► server (uvicorn) ─► app ─► auth                who may ask
                                   └─► chat_completions
                                         ├─► limits            how many turns at once
                                         ├─► request_schema    what a request asks for
                                         ├─► served_mixtures   which mixture answers it
                                         ├─► request_turn      the turn, ended where the client wants
                                         ├─► responses         what is sent back
                                         └─► api_errors        what is sent instead

All requests share one `App`: one pool of workers, one log. Nothing is stored: each request brings
its history. This package is not the offline service (`bot.demo`), whose models are small programs.

Nothing is imported here: Starlette and uvicorn belong to the extra `serve`.
"""
