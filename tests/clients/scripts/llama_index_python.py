"""LlamaIndex: OpenAILike with chat, streams, completion and tools."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

URL = os.environ["MOA_URL"]
REPLY = os.environ["MOA_REPLY"]


def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"rain in {city}"


llm = OpenAILike(model="moa", api_base=URL, api_key="unused", is_chat_model=True)
llm.is_function_calling_model = True
question = ChatMessage(role="user", content="How is it in Oslo?")
assert llm.chat([question]).message.content == REPLY
assert list(llm.stream_chat([question]))[-1].message.content == REPLY
assert llm.complete("How is it in Oslo?").text == REPLY
answer = llm.chat_with_tools([FunctionTool.from_defaults(weather)], chat_history=[question])
[call] = llm.get_tool_calls_from_response(answer)
assert (call.tool_name, call.tool_kwargs["city"]) == ("weather", "Oslo")
assert OpenAILike(model="moa", api_base=URL, api_key="unused").complete("How is it in Oslo?").text == REPLY
