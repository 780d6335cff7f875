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
}
