"""The official package for Python: chat completions, responses and completions."""

import json
import os

from openai import OpenAI
from pydantic import BaseModel

URL = os.environ["MOA_URL"]
REPLY = os.environ["MOA_REPLY"]


class Weather(BaseModel):
    """What the reply is read into."""

    city: str
    degrees: int


client = OpenAI(base_url=URL, api_key="unused")
ask = {"model": "moa", "messages": [{"role": "user", "content": "How is it in Oslo?"}]}
parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
function = {"name": "weather", "description": "The weather of a city", "parameters": parameters}
tools = [{"type": "function", "function": function}]

whole = client.chat.completions.create(**ask)
assert whole.choices[0].message.content == REPLY
with client.chat.completions.stream(**ask) as stream:
    assert stream.get_final_completion().choices[0].message.content == REPLY
parsed = client.chat.completions.parse(**ask, response_format=Weather)
assert parsed.choices[0].message.parsed == Weather(city="Oslo", degrees=4)

message = client.chat.completions.create(**ask, tools=tools).choices[0].message
[call] = message.tool_calls
assert json.loads(call.function.arguments)["city"] == "Oslo"
result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
again = client.chat.completions.create(model="moa", messages=[*ask["messages"], message, result], tools=tools)
assert "rain" in again.choices[0].message.content
with client.chat.completions.stream(**ask, tools=tools) as stream:
    assert stream.get_final_completion().choices[0].message.tool_calls[0].function.name == "weather"

question = {"model": "moa", "input": "How is it in Oslo?"}
first = client.responses.create(**question, instructions="Be brief.")
assert first.output_text == REPLY
assert client.responses.retrieve(first.id).output_text == REPLY
second = client.responses.create(model="moa", input="And in Bergen?", previous_response_id=first.id)
assert second.output_text == REPLY
with client.responses.stream(**question) as stream:
    assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == REPLY
    assert stream.get_final_response().usage.output_tokens > 0
assert client.responses.parse(**question, text_format=Weather).output_parsed == Weather(
    city="Oslo", degrees=4
)
flat = [{"type": "function", **function}]
[call] = client.responses.create(**question, tools=flat).output
output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
items = [{"role": "user", "content": "How is it in Oslo?"}, call, output]
assert "rain" in client.responses.create(model="moa", input=items, tools=flat).output_text
client.responses.delete(first.id)

assert client.completions.create(model="moa", prompt="How is it in Oslo?").choices[0].text == REPLY
