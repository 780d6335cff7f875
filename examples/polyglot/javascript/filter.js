// Marks requests of one user agent, and answers those that do not say who they are.

const DESCRIPTION = {
  name: "mark-javascript",
  version: "0.1.0",
  description: "Marks requests of one user agent",
  settings: {
    type: "object",
    additionalProperties: false,
    required: ["agent"],
    properties: { agent: { type: "string", description: "What the user agent contains." } },
  },
};

// Of the one link that this guest serves.
let agent = "";

// Header values are bytes; those of a user agent are ASCII but for what nobody should look for.
const text = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
const bytes = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));

export const lifecycle = {
  describe: () => JSON.stringify(DESCRIPTION),
  configure(settings) {
    agent = JSON.parse(settings).agent;
    if (!agent) throw [{ path: "/agent", message: "a word" }];
    return { request: { fields: {}, headers: ["user-agent"], allHeaders: false, attributes: [] }, response: undefined, warnings: [] };
  },
};

export const onRequest = {
  onRequest(exchange, head) {
    if (head.headers.length === 0) return { verdict: { tag: "reply", val: { status: 400, headers: [], body: bytes("who are you?\n") } }, edits: [] };
    const edits = text(head.headers[0].value).includes(agent) ? [{ tag: "set-header", val: { name: "x-agent", value: bytes("yes") } }] : [];
    return { verdict: { tag: "next" }, edits };
  },
};
