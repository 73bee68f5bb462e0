"""instructor: a reply in a pydantic model, by a tool and by JSON."""

import os

import instructor
from openai import OpenAI
from pydantic import BaseModel

URL = os.environ["MOA_URL"]


class Weather(BaseModel):
    """The weather of a city."""

    city: str
    degrees: int


for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(OpenAI(base_url=URL, api_key="unused"), mode=mode)
    found = client.chat.completions.create(
        model="moa",
        messages=[{"role": "user", "content": "How is it in Oslo?"}],
        response_model=Weather,
        max_retries=1,
    )
    assert (found.city, found.degrees) == ("Oslo", 4), (mode, found)
