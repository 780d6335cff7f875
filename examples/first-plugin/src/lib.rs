use portcullis_sdk::prelude::*;

/// Marks requests of one user agent.
#[settings]
struct Mark {
    /// What the user agent contains.
    agent: String,
    /// Header that the upstream gets.
    #[setting(default = "x-agent")]
    header: String,
}

#[plugin]
impl Mark {
    #[interest(headers = ["user-agent"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) {
        if request.header_str("user-agent").is_some_and(|agent| agent.contains(&self.agent)) {
            edit.set_header(&self.header, "yes");
        }
    }

    /// The client sees that the plugin was there.
    fn on_response(&self, _: &Response, edit: &mut Edits) {
        edit.set_header("x-first-plugin", "was here");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, get, response};

    #[test]
    fn requests_of_the_agent_are_marked() {
        let mark = Harness::<Mark>::new(r#"{ "agent": "curl" }"#);
        assert_eq!(mark.on_request(get("/").header("user-agent", "curl/8.5")).header("x-agent"), Some("yes"));
        assert_eq!(mark.on_request(get("/").header("user-agent", "wget/1.2")).header("x-agent"), None);
        assert_eq!(mark.on_response(response(200)).header("x-first-plugin"), Some("was here"));
    }

    #[test]
    fn the_agent_must_be_said() {
        assert_eq!(Harness::<Mark>::refused("{}")[0].message, "`agent` is missing");
    }
}
