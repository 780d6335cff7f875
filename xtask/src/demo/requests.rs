//! What the demo tries: requests, what each is to show, and what must be in the answer.

use crate::run;
use std::path::Path;
use std::process::Command;

/// One line for curl.
pub struct Request {
    /// Without `curl` and the CA.
    arguments: Vec<String>,
    /// For people.
    pub shows: &'static str,
    /// Each must be in what curl prints, in lower case.
    answers: Vec<String>,
}

/// In the order to try them.
pub fn all(https: u16, http: u16) -> Vec<Request> {
    let secure = |path: &str| format!("https://localhost:{https}{path}");
    let request = |arguments: &[&str], shows, answers: &[&str]| Request {
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        shows,
        answers: answers.iter().map(|answer| (*answer).to_owned()).collect(),
    };
    vec![
        request(
            &["-i", &secure("/")],
            "HTTP/2 and TLS; the origin sees x-request-id, x-forwarded-for and x-agent, the client x-first-plugin and x-served-by",
            &[
                "http/2 200",
                "x-first-plugin: was here",
                "x-served-by: portcullis",
                "x-request-id: ",
                "get / http/1.1",
                "x-agent: yes",
                "x-forwarded-proto: https",
            ],
        ),
        request(&["-i", "--http1.1", &secure("/hello?a=b")], "the same over HTTP/1.1", &["http/1.1 200", "get /hello?a=b http/1.1"]),
        request(&[&secure("/api/users")], "`strip`: the origin sees /users", &["get /users http/1.1"]),
        request(&["-i", &secure("/old/page?x=1")], "`redirect`: 308 to /new/page?x=1", &["http/2 308", "location: /new/page?x=1"]),
        request(
            &["-i", &secure("/robots.txt")],
            "`respond`: no upstream is asked; outer links still see the answer",
            &["user-agent: *", "x-served-by: portcullis"],
        ),
        request(
            &["--cookie", "version=next", &secure("/canary/")],
            "`route`: the cookie chooses the upstream `next`",
            &["get /canary/ http/1.1"],
        ),
        request(&["-d", "some text", &secure("/post")], "a request with a body", &["post /post http/1.1", "some text"]),
        request(
            &["-i", &format!("http://localhost:{http}/x")],
            "plain HTTP is sent to https",
            &["http/1.1 308", &format!("location: https://localhost:{https}/x")],
        ),
        request(
            &["-i", "-H", "Transfer-Encoding: chunked, chunked", "--http1.1", &secure("/")],
            "ambiguous framing is refused, with its reason",
            &["http/1.1 400", "bad_transfer_encoding"],
        ),
    ]
}

impl Request {
    /// As one would type it.
    pub fn line(&self, ca: &Path) -> String {
        let quoted =
            self.arguments.iter().map(|argument| match argument.chars().all(|c| c.is_ascii_alphanumeric() || "-.:/=".contains(c)) {
                true => argument.clone(),
                false => format!("'{argument}'"),
            });
        format!("curl --cacert {} {}", ca.display(), quoted.collect::<Vec<_>>().join(" "))
    }

    /// Sends it, prints the answer and checks it.
    pub fn check(&self, ca: &Path) -> Result<(), String> {
        println!("\n$ {}\n# {}", self.line(ca), self.shows);
        // Not a proxy of the environment's, and 127.0.0.1 whatever the machine thinks of `localhost`.
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "--noproxy", "*", "-4", "--cacert"]).arg(ca).args(&self.arguments);
        let answer = run::read(&mut curl)?;
        println!("{answer}");
        let lower = answer.to_lowercase();
        match self.answers.iter().find(|wanted| !lower.contains(wanted.as_str())) {
            Some(missing) => Err(format!("`{missing}` is not in the answer")),
            None => Ok(()),
        }
    }
}
