// The official packages for Node.js, one request a run: `node client.mjs messages|chat|responses [stream]`.
//
// Nothing tells them of the gateway but the variables of the environment, as `coder aibridge proxy env` sets them. What
// they made of the answer is printed as JSON. The packages are in the folder that SDK_NODE_DIR names; a version of
// Node.js that does not heed HTTPS_PROXY by itself is helped by undici, which is what Node.js has inside.

import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(path.join(process.env.SDK_NODE_DIR, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(name)));

const { EnvHttpProxyAgent, fetch } = await load("undici");
const options = { fetch, fetchOptions: { dispatcher: new EnvHttpProxyAgent() }, maxRetries: 0, timeout: 30_000 };

const QUESTION = [{ role: "user", content: "Hello [[sim: chunks=8]]" }];

async function messages(stream) {
  const { default: Anthropic } = await load("@anthropic-ai/sdk");
  const client = new Anthropic(options);
  const asked = { model: "claude-sonnet-4-8", max_tokens: 50, messages: QUESTION };
  const message = stream ? await client.messages.stream(asked).finalMessage() : await client.messages.create(asked);
  return {
    id: message.id,
    text: message.content.map((block) => block.text).join(""),
    stop: message.stop_reason,
    output: message.usage.output_tokens,
  };
}

async function chat(stream) {
  const { default: OpenAI } = await load("openai");
  const client = new OpenAI(options);
  const asked = { model: "gpt-5.5", messages: QUESTION };
  const completion = stream
    ? await client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } }).finalChatCompletion()
    : await client.chat.completions.create(asked);
  return {
    id: completion.id,
    text: completion.choices[0].message.content,
    stop: completion.choices[0].finish_reason,
    output: completion.usage.completion_tokens,
  };
}

async function responses(stream) {
  const { default: OpenAI } = await load("openai");
  const client = new OpenAI(options);
  const asked = { model: "gpt-5.5", input: QUESTION };
  const response = stream
    ? await client.responses.stream(asked).finalResponse()
    : await client.responses.create(asked);
  return {
    id: response.id,
    // The packages add them up in `output_text` only for an answer at once.
    text: response.output
      .flatMap((item) => item.content ?? [])
      .map((part) => part.text)
      .join(""),
    stop: response.status,
    output: response.usage.output_tokens,
  };
}

const [api, mode] = process.argv.slice(2);
console.log(JSON.stringify(await { messages, chat, responses }[api](mode === "stream")));
