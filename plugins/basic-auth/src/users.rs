//! Who there is: a table of names with hashes, lines of `NAME:HASH`, or both.

use super::Hash;
use portcullis_sdk::prelude::*;

pub struct User {
    pub name: String,
    pub hash: Hash,
}

pub struct Users(Vec<User>);

impl Users {
    pub fn read(table: Map<String>, lines: &str, problems: &mut Vec<Problem>) -> Self {
        let mut users = Self(Vec::new());
        let root = Pointer::root();
        for (name, hash) in table {
            let at = root.key("users").key(&name);
            if let Err(why) = users.add(&name, &hash) {
                problems.push(Problem::at(at, why));
            }
        }
        for (index, line) in lines.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let added = line.split_once(':').ok_or("is not NAME:HASH").and_then(|(name, hash)| users.add(name, hash));
            if let Err(why) = added {
                problems.push(Problem::at(root.key("htpasswd"), ["line ", &(index + 1).to_string(), ": ", why].concat()));
            }
        }
        if users.0.is_empty() && problems.is_empty() {
            problems.push(Problem::at("", "nobody could come in: needs `users` or `htpasswd`"));
        }
        users
    }

    fn add(&mut self, name: &str, hash: &str) -> Result<(), &'static str> {
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
            return Err("a name is neither empty nor has colons or control characters");
        }
        if self.iter().any(|user| user.name == name) {
            return Err("this name is there twice");
        }
        self.0.push(User { name: name.to_owned(), hash: Hash::parse(hash)? });
        Ok(())
    }

    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.0.iter()
    }

    /// The hash that takes longest; there is at least one user.
    pub fn slowest(&self) -> &Hash {
        let slowest = self.iter().map(|user| &user.hash).max_by_key(|hash| hash.cost());
        slowest.expect("a user, or the settings would have been refused")
    }
}
