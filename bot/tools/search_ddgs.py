"""The program of a process that searches with `ddgs`, which blocks and cannot be stopped in the middle.

    stdin:   a line of JSON {"query": …, "n": …, "proxy": …}
    stdout:  JSON {"results": [{"title": …, "url": …, "text": …}]} or {"error": …}

Imports nothing of the program.
"""

import json
import sys

_TIMEOUT = 10


def main() -> None:
    """Search once and print the results."""
    from ddgs import DDGS  # noqa: PLC0415 - an extra
    from ddgs.exceptions import DDGSException  # noqa: PLC0415 - likewise

    request = json.loads(sys.stdin.buffer.readline())
    try:
        with DDGS(proxy=request["proxy"], timeout=_TIMEOUT) as search:
            found = search.text(request["query"], max_results=request["n"])
        results = [{"title": hit["title"], "url": hit["href"], "text": hit["body"]} for hit in found]
        answer: dict[str, object] = {"results": results}
    except DDGSException as problem:
        answer = {"error": f"{problem or type(problem).__name__}"}
    sys.stdout.buffer.write(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
