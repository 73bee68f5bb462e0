"""langchain-openai: chat completions and the Responses API, whole, streamed, with tools and a schema."""

import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

URL = os.environ["MOA_URL"]
REPLY = os.environ["MOA_REPLY"]


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"rain in {city}"


chat = ChatOpenAI(model="moa", base_url=URL, api_key="unused")
question = HumanMessage("How is it in Oslo?")
for model in (chat, ChatOpenAI(model="moa", base_url=URL, api_key="unused", use_responses_api=True)):
    whole = model.invoke([question])
    assert whole.text == REPLY, whole
    assert whole.usage_metadata["output_tokens"] > 0
    assert "".join(chunk.text for chunk in model.stream([question])) == REPLY
    asked = model.bind_tools([weather]).invoke([question])
    [call] = asked.tool_calls
    result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    assert "rain in Oslo" in model.bind_tools([weather]).invoke([question, asked, result]).text
    for method in ("json_schema", "function_calling"):
        structured = model.with_structured_output(Weather, method=method)
        assert structured.invoke([question]) == Weather(city="Oslo", degrees=4)
