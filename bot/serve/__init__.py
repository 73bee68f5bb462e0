"""moa-bot as a service: any client of the OpenAI API becomes a client of a Mixture of Agents.

    client ─► server (uvicorn) ─► app ─► gate      who may ask, how much at once
                                   └─► chat ─► wanted      what a request asks for
                                         ├─► mixtures      which mixture answers it
                                         ├─► turn          the turn, ended where the client wants
                                         └─► forms         what is sent back; refusal: what is refused

One program is open for all requests: one pool of workers, one log. Nothing is kept; a
conversation's history is what each request brings along. This package is not the offline service
(`bot.demo`), whose models are programs.

Nothing is imported here: Starlette and uvicorn belong to the extra `serve`.
"""
