//! Tells a running server what to take out of its caches.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer;
use crate::args::{FieldValue, Purge, Subjects};

/// The variable that holds the token, where the command line does not.
const VARIABLE: &str = "AFPA_PURGE_TOKEN";

/// Purges as the command line says. Returns a line for each thing that was purged.
///
/// # Errors
/// The server cannot be reached, or refuses one: a sentence. What comes before that was purged.
pub fn execute(purge: &Purge) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("nothing can be purged: {error}"))?;
    let token = purge.token.clone().or_else(|| std::env::var(VARIABLE).ok());
    if token.as_ref().is_some_and(|token| token.contains(char::is_control)) {
        return Err("a token is one line of visible characters".into());
    }
    let orders = orders(&purge.subjects, purge.soft);
    runtime.block_on(async {
        let mut said = String::new();
        for order in orders {
            let answer = order.send(purge.admin, token.as_deref()).await;
            said += &answer.map_err(|problem| format!("{}: {problem}", order.what))?;
            said.push('\n');
        }
        Ok(said)
    })
}

/// One thing to purge.
struct Order {
    /// In the operator's words.
    what: String,
    body: Value,
}

#[derive(Deserialize)]
struct Purged {
    purged: u64,
    #[serde(default)]
    entered: bool,
}

impl Order {
    async fn send(&self, admin: SocketAddr, token: Option<&str>) -> Result<String, String> {
        let answer = answer::post(admin, "/api/cache/purge", token, &self.body).await?;
        let Purged { purged, entered } = serde_json::from_slice(&answer)
            .map_err(|error| format!("the admin server at {admin} says what is not understood: {error}"))?;
        let Order { what, body } = self;
        let count = if purged == 1 { "1 object".into() } else { format!("{purged} objects") };
        Ok(match (entered, purged) {
            (false, _) => format!("{what}: {count} taken out"),
            (true, _) if body["soft"] == true => format!("{what}: out of date from the next request on"),
            (true, 0) => format!("{what}: gone from the next request on"),
            (true, _) => format!("{what}: gone from the next request on, and {count} taken out"),
        })
    }
}

fn orders(subjects: &Subjects, is_soft: bool) -> Vec<Order> {
    let order =
        |what: String, (key, value): (&str, Value)| Order { what, body: json!({ key: value, "soft": is_soft }) };
    let Subjects { urls, prefixes, surrogate_keys, fields, all } = subjects;
    let urls = urls.iter().map(|url| order(url.clone(), ("url", json!(url))));
    let prefixes = prefixes.iter().map(|prefix| order(format!("{prefix}*"), ("prefix", json!(prefix))));
    let keys = surrogate_keys.iter().map(|key| order(format!("surrogate key {key}"), ("surrogate_key", json!(key))));
    let fields = fields.iter().map(|FieldValue { name, value }| {
        order(format!("{name}: {value}"), ("field", json!({ "name": name, "value": value })))
    });
    let all = all.then(|| order("everything".into(), ("all", json!(true))));
    urls.chain(prefixes).chain(keys).chain(fields).chain(all).collect()
}
