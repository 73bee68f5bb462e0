"""The routes of /v1/responses: requests that continue stored responses, and the stored ones themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from bot.errors import StoreError
from bot.serve.answer_stream import ascii_json
from bot.serve.api_errors import ApiError, bad_request
from bot.serve.request_schema import MAX_MESSAGES, parse_body
from bot.serve.responses_json import ResponsesWriter
from bot.serve.responses_request import Item, ResponsesRequest, messages_of
from bot.serve.turn_request import TurnRequest, divide
from bot.store.responses import ResponseStore, StoredResponse

Json = dict[str, Any]
T = TypeVar("T")


class Responses:
    """Reads requests, and answers what is asked about stored responses."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def read(self, body: bytes) -> tuple[TurnRequest, ResponsesWriter]:
        """Read a request. ApiError (400) names the field that is wrong."""
        request = parse_body(body, ResponsesRequest, "input")
        items = self._resolved(request.input)
        earlier = self._earlier(request.previous_response_id)
        conversation = divide(messages_of([*earlier, *items]), "input")
        # Instructions are this request's alone: those of the responses before it are not repeated.
        system = "\n\n".join(filter(None, (request.instructions, conversation.system))) or None
        turn_request = TurnRequest(
            model=request.model,
            conversation=replace(conversation, system=system),
            moa=request.moa,
            stream=request.stream,
            temperature=request.temperature,
            max_tokens=request.max_output_tokens,
            reply_fields=request.reply_fields(),
            reply_format=request.reply_format,
        )
        given = [item.model_dump(exclude_none=True) for item in items]

        def save(response: Json) -> bool:
            try:
                return self._store.save(StoredResponse(response, given, request.previous_response_id))
            except StoreError:
                # The answer is there all the same; it says that it is not stored.
                return False

        return turn_request, ResponsesWriter(request, save)

    async def get(self, request: Request) -> Response:
        """Return a stored response."""
        stored = await asyncio.to_thread(self._found, request.path_params["response"])
        return _json(stored.response)

    async def delete(self, request: Request) -> Response:
        """Delete a stored response."""
        response_id = request.path_params["response"]
        if not await asyncio.to_thread(self._in_store, lambda: self._store.delete(response_id)):
            raise _not_found()
        return _json({"id": response_id, "object": "response", "deleted": True})

    async def items(self, request: Request) -> Response:
        """Return the items that a stored response answered, the newest first."""
        stored = await asyncio.to_thread(self._found, request.path_params["response"])
        items = [
            {"id": f"in_{stored.id.removeprefix('resp_')}_{index}", **item}
            for index, item in enumerate(stored.items)
        ][::-1]
        ends = {"first_id": items[0]["id"] if items else None, "last_id": items[-1]["id"] if items else None}
        return _json({"object": "list", "data": items, "has_more": False, **ends})

    def _earlier(self, response_id: str | None) -> list[Item]:
        """Return the items of a response and of those before it, in order."""
        chain: list[list[Json]] = []
        count = 0
        while response_id is not None:
            stored = self._get(response_id)
            if stored is None:
                message = f"Previous response with id '{response_id[:100]}' not found."
                raise bad_request(message, "previous_response_id", "previous_response_not_found")
            chain.insert(0, [*stored.items, *stored.response["output"]])
            count += len(chain[0])
            if count > MAX_MESSAGES:
                message = f"The responses before it have more than {MAX_MESSAGES} items."
                raise bad_request(message, "previous_response_id", "too_many_messages")
            response_id = stored.previous
        return [Item.model_validate(item) for items in chain for item in items]

    def _resolved(self, items: list[Item]) -> list[Item]:
        """Return the items, with those in the place of references that these name."""
        resolved = []
        for place, item in enumerate(items):
            if item.type == "item_reference":
                found = self._output_item(item.id or "")
                if found is None:
                    param = f"input[{place}].id"
                    raise bad_request(
                        f"Item with id '{(item.id or '')[:100]}' not found.", param, "item_not_found"
                    )
                item = found  # noqa: PLW2901 - the item that was meant
            resolved.append(item)
        return resolved

    def _output_item(self, item_id: str) -> Item | None:
        """Return an item of a stored response: its id is made of the response's (`ResponsesWriter`)."""
        kind, _, rest = item_id.partition("_")
        key = rest.rpartition("_")[0]
        stored = self._get(f"resp_{key}") if kind and key else None
        output = stored.response["output"] if stored else []
        return next((Item.model_validate(item) for item in output if item["id"] == item_id), None)

    def _get(self, response_id: str) -> StoredResponse | None:
        return self._in_store(lambda: self._store.get(response_id))

    def _found(self, response_id: str) -> StoredResponse:
        stored = self._get(response_id)
        if stored is None:
            raise _not_found()
        return stored

    def _in_store(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except StoreError as error:
            raise ApiError(503, f"{error.message}.", "store_unavailable") from None


def _not_found() -> ApiError:
    return ApiError(404, "There is no such response here.", "response_not_found", "response_id")


def _json(value: Json) -> Response:
    return Response(ascii_json(value), media_type="application/json")
