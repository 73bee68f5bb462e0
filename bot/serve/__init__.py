"""moa-bot as a service: any client of the OpenAI API becomes a client of a Mixture of Agents.

    client ─► server (uvicorn) ─► app ─► auth                who may ask
                                   └─► turn_route            what all APIs have in common
                                         ├─► request_body      reads what was sent
                                         ├─► limits            how many turns at once
                                         ├─► chat_request      what a request asks for: a turn_request
                                         │     (request_schema, tools, reply_format)
                                         ├─► responses_routes  the Responses API, and what it has stored
                                         ├─► served_mixtures   which mixture answers it
                                         ├─► request_turn      the turn, ended where the client wants
                                         │     (or responses_request, completions_api)
                                         ├─► chat_json         what is sent back
                                         │     (or responses_json, completions_api)
                                         ├─► answer_stream     how it is sent, and kept alive
                                         └─► api_errors        what is sent instead

All requests share one `App`: one pool of workers, one log. This package is not the offline service
(`bot.demo`), whose models are small programs.

Nothing is imported here: Starlette and uvicorn belong to the extra `serve`.
"""
