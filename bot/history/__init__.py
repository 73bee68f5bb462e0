"""What `moa-bot history …` shows and exports: functions from the store's rows to text.

Nothing here opens a file, prints, or knows the command line.

    terminal.py      list, show and search as plain text for a terminal or a pipe
    documents.py     the same as JSON, and the exports as JSON and JSON lines
    import_json.py   an exported document back into a store
    markdown.py      the export as Markdown
    html.py          the export as HTML
    exports.py       these forms by name
    facts.py         what all of them say of a conversation, a turn and a call
"""
