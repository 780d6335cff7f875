//! Of a case: servers to choose from, attempts that fail, how an exchange ends, and moments between exchanges.

use super::super::tables::{key, required, table};
use super::super::{DURATION, Form, Keys, Kind, TAG, UPSTREAM_NAME};
use super::{OR_ABSENT, TEXTS, WANTED_TEXTS};
use crate::config::cases::{ATTEMPT_REASONS, CHOICES, END_REASONS, FAULTS, JUDGEMENTS};

static SERVER_ADDRESS: Form = Form { name: "a server's address", pattern: "^(.+:[0-9]+|unix:.+)$" };

const SERVERS: Kind = Kind::List(&Kind::Either(&[Kind::Text(&SERVER_ADDRESS), Kind::Table(&MADE_SERVER)]));
const SOME_SERVERS: &str = "[\"10.0.0.1:80\", { address = \"10.0.0.2:80\", running = 7 }]";
const ONE: Kind = Kind::Text(&SERVER_ADDRESS);
/// As many as a link is ever shown.
const MOST_SERVERS: i64 = 256;

pub static MADE_CHOICE: Keys = table(
    "made-balance",
    "Servers of which one gets the request.",
    &[
        required("servers", SERVERS, SOME_SERVERS, "Those that may be chosen, two at least: well, and untried. A string is `address`."),
        key("failed", Kind::Whole(0, MOST_SERVERS), "1", "How many servers have failed this request; 0 unless written."),
        key(
            "upstream",
            Kind::Text(&UPSTREAM_NAME),
            "\"app\"",
            "Whose servers they are; unless written, the upstream that the request was forwarded to, or \"app\".",
        ),
    ],
);

pub static MADE_SERVER: Keys = table(
    "made-server",
    "A server that may be chosen, as the plugin is shown it.",
    &[
        required("address", ONE, "\"10.0.0.1:80\"", "host:port or unix:/path."),
        key("weight", Kind::Whole(1, 65_536), "2", "What the configuration says; 1 unless written."),
        key("tags", Kind::Either(&[Kind::Text(&TAG), Kind::List(&Kind::Text(&TAG))]), "[\"zone-a\"]", "What the configuration says."),
        key("running", Kind::Whole(0, 1_000_000), "7", "How many requests run on it; 0 unless written."),
        key(
            "latency",
            Kind::Text(&DURATION),
            "\"20ms\"",
            "What it took lately to a response head; unless written, nothing is known of that.",
        ),
        key(
            "number",
            Kind::Whole(0, 65_535),
            "3",
            "Its place among all servers of the upstream, from 0; its place in this list unless written.",
        ),
    ],
);

pub static EXPECT_BALANCE: Keys = table(
    "expect-balance",
    "What must hold; what is not written may be as it likes, but for the verdict.",
    &[
        key("verdict", Kind::Choice(&CHOICES), "\"next\"", "\"next\", unless `server` says \"choose\" or `fault` \"fault\"."),
        key("server", OR_ABSENT, "\"10.0.0.1:80\"", "Who is chosen; false: nobody, so that others choose."),
        key("attributes", Kind::Table(&WANTED_TEXTS), "{ \"log.zone\" = \"left\" }", "Attributes afterwards; false: not there."),
        key("log", TEXTS, "\"all are busy\"", "Each is in some line that it logged."),
        key("fault", Kind::Choice(&FAULTS), "\"bad-output\"", "How it breaks the contract."),
    ],
);

pub static MADE_ATTEMPT: Keys = table(
    "made-attempt",
    "An attempt that failed: with a `status`, or for a `reason`.",
    &[
        key("status", Kind::Whole(200, 599), "503", "Of the response that it brought."),
        key("reason", Kind::Choice(&ATTEMPT_REASONS), "\"connect_refused\"", "Why it brought none."),
        key("server", ONE, "\"10.0.0.1:80\"", "Where it went; unless written, to the one that was chosen, or else the first."),
        key("number", Kind::Whole(1, 1000), "2", "How many attempts were made, this one included; 1 unless written."),
        key(
            "sent",
            Kind::Truth,
            "true",
            "Whether the server may have seen some of the request; unless written, as the reason says: not if there was no connection.",
        ),
        key("left", Kind::Whole(0, 1000), "1", "How many attempts may follow; 1 unless written."),
        key(
            "servers",
            SERVERS,
            SOME_SERVERS,
            "Where another attempt could go, but for the one that failed; those of `balance` unless written.",
        ),
    ],
);

pub static EXPECT_ATTEMPT: Keys = table(
    "expect-attempt",
    "What must hold; what is not written may be as it likes, but for the verdict.",
    &[
        key(
            "verdict",
            Kind::Choice(&JUDGEMENTS),
            "\"again\"",
            "\"next\" (as the configuration says), unless `server` says \"again-on\" or `fault` \"fault\".",
        ),
        key("server", ONE, "\"10.0.0.2:80\"", "Where it wants the next attempt to go."),
        key("attributes", Kind::Table(&WANTED_TEXTS), "{ \"log.tried\" = \"2\" }", "Attributes afterwards; false: not there."),
        key("log", TEXTS, "\"is overloaded\"", "Each is in some line that it logged."),
        key("fault", Kind::Choice(&FAULTS), "\"bad-output\"", "How it breaks the contract."),
    ],
);

pub static MADE_DONE: Keys = table(
    "made-done",
    "How the exchange ended; what is not written is as the case had it.",
    &[
        key("status", Kind::Either(&[Kind::Whole(100, 599), Kind::Truth]), "200", "What the client was answered; false: nothing."),
        key("reason", Kind::Choice(&END_REASONS), "\"client_gone\"", "Why it did not end as it should."),
        key("upstream", OR_ABSENT, "\"app\"", "Where it was forwarded to; false: nowhere."),
        key("server", OR_ABSENT, "\"10.0.0.1:80\"", "The last one that was tried; false: none was."),
        key("attempts", Kind::Whole(0, 1000), "2", "How many times a server was tried."),
        key("duration", Kind::Text(&DURATION), "\"10ms\"", "From the request's head to the end; this unless written."),
        key(
            "first-byte",
            Kind::Text(&DURATION),
            "\"5ms\"",
            "Until the server's response head; this unless written, or none if no server was tried.",
        ),
        key("received", Kind::Whole(0, i64::MAX), "100", "Bytes of the request's body."),
        key("sent", Kind::Whole(0, i64::MAX), "100", "Bytes of the response's body."),
    ],
);

pub static MADE_TICK: Keys = table(
    "made-tick",
    "A moment between exchanges.",
    &[
        key("number", Kind::Whole(0, i64::MAX), "0", "Which one on this worker, from 0; how many ticks the case has had unless written."),
        key("worker", Kind::Whole(0, 1023), "0", "Which worker's it is, from 0; the first one's unless written."),
        key("workers", Kind::Whole(1, 1024), "1", "How many workers there are; 1 unless written."),
    ],
);

pub static EXPECT_AFTER: Keys = table(
    "expect-after",
    "What must hold where nothing is decided any more. An empty table: nothing breaks.",
    &[
        key("asked", Kind::Whole(0, 1000), "1", "How many requests it sent to upstreams."),
        key("log", TEXTS, "\"gone\"", "Each is in some line that it logged."),
        key("fault", Kind::Choice(&FAULTS), "\"trap\"", "How it breaks the contract."),
    ],
);
