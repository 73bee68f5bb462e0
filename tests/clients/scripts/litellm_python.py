"""litellm: completions whole and streamed, tools, and the Responses API."""

import os

import litellm

URL = os.environ["MOA_URL"]
REPLY = os.environ["MOA_REPLY"]
messages = [{"role": "user", "content": "How is it in Oslo?"}]
function = {"name": "weather", "description": "The weather of a city", "parameters": {"type": "object"}}

whole = litellm.completion("openai/moa", messages, api_base=URL, api_key="unused")
assert whole.choices[0].message.content == REPLY
stream = litellm.completion("openai/moa", messages, api_base=URL, api_key="unused", stream=True)
assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == REPLY
tools = [{"type": "function", "function": function}]
called = litellm.completion("openai/moa", messages, api_base=URL, api_key="unused", tools=tools)
message = called.choices[0].message
assert message.tool_calls[0].function.name == "weather"
result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
again = litellm.completion(
    "openai/moa", [*messages, message.model_dump(), result], api_base=URL, api_key="unused", tools=tools
)
assert "rain" in again.choices[0].message.content
form = {"type": "json_object"}
parsed = litellm.completion("openai/moa", messages, api_base=URL, api_key="unused", response_format=form)
assert '"Oslo"' in parsed.choices[0].message.content
response = litellm.responses(model="openai/moa", input="How is it in Oslo?", api_base=URL, api_key="unused")
assert response.output[0].content[0].text == REPLY
