"""Marks requests of one user agent, and answers those that do not say who they are."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import (
    Decision, Edit_SetHeader, Header, Plan, Problem, Reply, RequestFields, RequestHead, RequestInterest, Verdict_Next, Verdict_Reply,
)

DESCRIPTION = {
    "name": "mark-python",
    "version": "0.1.0",
    "description": "Marks requests of one user agent",
    "settings": {
        "type": "object",
        "additionalProperties": False,
        "required": ["agent"],
        "properties": {"agent": {"type": "string", "description": "What the user agent contains."}},
    },
}

# Of the one link that this guest serves.
agent: bytes = b""


class Lifecycle(exports.Lifecycle):
    def describe(self) -> str:
        return json.dumps(DESCRIPTION)

    def configure(self, settings: str) -> Plan:
        global agent
        agent = json.loads(settings)["agent"].encode()
        if not agent:
            raise Err([Problem("/agent", "a word")])
        return Plan(RequestInterest(RequestFields(0), ["user-agent"], False, []), None, [])


class OnRequest(exports.OnRequest):
    def on_request(self, exchange: int, head: RequestHead) -> Decision:
        if not head.headers:
            return Decision(Verdict_Reply(Reply(400, [], b"who are you?\n")), [])
        if agent in head.headers[0].value:
            return Decision(Verdict_Next(), [Edit_SetHeader(Header("x-agent", b"yes"))])
        return Decision(Verdict_Next(), [])
