// Vercel's SDK: its OpenAI provider uses the Responses API, the compatible one chat completions.
import assert from "node:assert/strict";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { z } from "zod";

const URL = process.env.MOA_URL;
const REPLY = process.env.MOA_REPLY;
const openai = createOpenAI({ baseURL: URL, apiKey: "unused" });
const moa = createOpenAICompatible({ name: "moa", baseURL: URL, supportsStructuredOutputs: true });

for (const model of [openai("moa"), openai.chat("moa"), moa("moa")]) {
  const { text, usage } = await generateText({ model, prompt: "How is it in Oslo?" });
  assert.equal(text, REPLY);
  assert.ok(usage.outputTokens > 0);

  const streamed = streamText({ model, prompt: "How is it in Oslo?", onError: ({ error }) => { throw error; } });
  assert.equal(await streamed.text, REPLY);

  const schema = z.object({ city: z.string(), degrees: z.number() });
  const { object } = await generateObject({ model, schema, prompt: "How is it in Oslo?" });
  assert.deepEqual(object, { city: "Oslo", degrees: 4 });

  let asked = "";
  const weather = tool({
    description: "The weather of a city",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => { asked = city; return "rain"; },
  });
  const stopWhen = stepCountIs(3);
  const agent = await generateText({ model, tools: { weather }, stopWhen, prompt: "How is it in Oslo?" });
  assert.equal(asked, "Oslo");
  assert.match(agent.text, /rain/);
  const steps = streamText({ model, tools: { weather }, stopWhen, prompt: "How is it in Oslo?" });
  assert.match(await steps.text, /rain/);
}
