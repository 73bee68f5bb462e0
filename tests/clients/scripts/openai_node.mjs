// The official package for Node.
import assert from "node:assert/strict";
import OpenAI from "openai";

const URL = process.env.MOA_URL;
const REPLY = process.env.MOA_REPLY;
const client = new OpenAI({ baseURL: URL, apiKey: "unused" });
const messages = [{ role: "user", content: "How is it in Oslo?" }];
const parameters = { type: "object", properties: { city: { type: "string" } } };
const description = { name: "weather", description: "The weather of a city", parameters };
const tools = [{ type: "function", function: description }];

const whole = await client.chat.completions.create({ model: "moa", messages });
assert.equal(whole.choices[0].message.content, REPLY);
const stream = client.chat.completions.stream({ model: "moa", messages });
assert.equal(await stream.finalContent(), REPLY);

let asked = "";
const weather = ({ city }) => { asked = city; return "rain"; };
const runner = client.chat.completions.runTools({
  model: "moa",
  messages,
  stream: true,
  tools: [{ type: "function", function: { ...description, function: weather, parse: JSON.parse } }],
});
assert.match(await runner.finalContent(), /rain/);
assert.equal(asked, "Oslo");

const first = await client.responses.create({ model: "moa", input: "How is it in Oslo?" });
assert.equal(first.output_text, REPLY);
const second = await client.responses.stream({ model: "moa", input: "And?", previous_response_id: first.id });
assert.equal((await second.finalResponse()).output_text, REPLY);
const called = await client.responses.create({
  model: "moa", input: "How is it in Oslo?", tools: [{ type: "function", ...description }],
});
assert.equal(called.output[0].name, "weather");
