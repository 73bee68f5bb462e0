"""The tools that there are: those of MCP servers, and two of the program's own for the web.

    toolbox ─┬─ web_fetch  ── addresses (which may be asked), read_document (a page's or PDF's text)
             ├─ web_search ── SearXNG, Tavily, Brave, Exa or ddgs
             └─ mcp_server ── one server: started when first needed, started again once
                   ├─ stdio_transport ─► supervise_server.py ─► the server's command
                   └─ http_transport

`bot.tool_use` has the values. Nothing is imported here, and no server started, before a tool is needed.
"""
