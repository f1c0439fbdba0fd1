//! The variables of the first AppView, for whoever comes from there: heeded where something here is meant by the same, and
//! otherwise answered with what there is instead.
//!
//! An environment enters; values for settings leave, and for each variable a note that says what to write in its place.

use std::collections::BTreeMap;

use super::Setting;

/// What a variable of it means here.
enum Meaning {
    /// The same, by this key.
    Same(&'static str),
    /// A list, with commas or spaces between its members.
    List(&'static str),
    /// A port on every address, or on the one that another variable names.
    Port { key: &'static str, host: Option<&'static str> },
    /// A relay, which may have been turned off there.
    Relay(&'static str),
    /// What is itself there must be the content of a file here, which this key names.
    InFile(&'static str),
    /// Nothing, and why.
    Nothing(&'static str),
}

use Meaning::{InFile, List, Nothing, Port, Relay, Same};

/// Told by whatever belongs to another service.
const EXCHANGE: &str = "that is for the exchange, which is a service of its own";

/// Its variables, in the order in which the first of several for one setting holds.
const VARIABLES: &[(&str, Meaning)] = &[
    (
        "COCORE_DB",
        Nothing(
            "its index is another kind of file; `--data-dir` names the folder of index.db, which fills itself",
        ),
    ),
    ("COCORE_ACCOUNT_DB", Nothing("its accounts are kept in another kind of file")),
    ("COCORE_APPVIEW_DID", Same("service-did")),
    ("COCORE_API_PORT", Port { key: "listen", host: None }),
    (
        "COCORE_APPVIEW_INTERNAL_PORT",
        Port { key: "internal-listen", host: Some("COCORE_APPVIEW_INTERNAL_HOST") },
    ),
    ("COCORE_BRIDGE_PORT", Nothing("there is no bridge; everybody asks at `--listen`")),
    (
        "COCORE_APPVIEW_PORT",
        Nothing("that is where it listens beside its bridge; everybody asks at `--listen`"),
    ),
    ("COCORE_BRIDGE_URL", Nothing("there is no bridge")),
    ("COCORE_INTERNAL_SECRET", InFile("internal-secret-file")),
    (
        "COCORE_INTERNAL_API_KEY",
        Nothing("an operator gives orders over admin.sock in the data folder, without a key"),
    ),
    ("COCORE_ALLOW_WIPE", Nothing("whoever can open admin.sock in the data folder is the operator")),
    ("COCORE_ADVISOR_URL", Nothing("nothing is dispatched")),
    ("COCORE_EXCHANGE_DID", Nothing("no jobs are written")),
    ("COCORE_TRUSTED_BROKERAGES", List("broker")),
    ("COCORE_MIN_VERSION_MESSAGES_V1", Nothing("no version of a client is turned away")),
    ("COCORE_AGENT_API_BASE", Same("agent-api-base")),
    ("CONSOLE_PUBLIC_URL", Same("console-url")),
    ("ATPROTO_BASE_URL", Same("console-url")),
    ("BETTER_AUTH_URL", Same("console-url")),
    ("ATPROTO_PRIVATE_KEY_JWK", InFile("oauth-client-keys")),
    ("COCORE_OAUTH_KEEPALIVE_DIDS", Nothing("there is no such setting")),
    ("COCORE_RELAY_URL", Relay("relay")),
    ("COCORE_RELAY", Nothing("nothing reads it there either")),
    ("COCORE_RELAY_UNAUTHENTICATED_COMMITS", Nothing("every commit is proven")),
    ("COCORE_AUTORESPOND", Nothing("there is no synthetic provider")),
    ("COCORE_SOFTWARE_VERSION", Nothing("the version is the program's own")),
    ("COCORE_TREASURY_DID", Nothing(EXCHANGE)),
    ("COCORE_SELF_LOOP_FEE_WAIVED", Nothing(EXCHANGE)),
    ("COCORE_LEADERBOARD_TTL_MS", Nothing("answers are kept for as long as nothing changes")),
];

/// Beginnings of variables of the exchange.
const OF_THE_EXCHANGE: &[&str] = &[
    "COCORE_EXCHANGE_",
    "COCORE_FEE_",
    "COCORE_TOKEN_",
    "COCORE_PATRONAGE_",
    "COCORE_RECONCILE_",
    "COCORE_TERMS_",
];

/// A value that a variable of the first AppView gives a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heeded {
    /// Which setting.
    pub(super) key: String,
    /// The value, as our own variable would have it.
    pub(super) value: String,
    /// Which variable.
    pub(super) variable: &'static str,
}

/// What an environment says in the words of the first AppView, and a note on each of them that comes to nothing.
pub(super) fn heeded(
    environment: &BTreeMap<String, String>,
    settings: &[Setting],
) -> (Vec<Heeded>, Vec<String>) {
    let (mut heeded, mut notes) = (Vec::new(), Vec::new());
    for (variable, meaning) in VARIABLES {
        let Some(value) = environment.get(*variable) else {
            continue;
        };
        match meaning.value(value, environment, settings) {
            Ok((key, value)) => heeded.push(Heeded { key, value, variable }),
            Err(why) => notes.push(format!("{variable} is not heeded: {why}")),
        }
    }
    let is_known = |name: &str| {
        VARIABLES.iter().any(|(variable, meaning)| {
            *variable == name || matches!(meaning, Port { host: Some(host), .. } if *host == name)
        })
    };
    for name in environment.keys().filter(|name| name.starts_with("COCORE_") && !is_known(name)) {
        let is_of_exchange = OF_THE_EXCHANGE.iter().any(|beginning| name.starts_with(beginning));
        let why = if is_of_exchange { EXCHANGE } else { "nothing is called so here" };
        notes.push(format!("{name} is not heeded: {why}"));
    }
    (heeded, notes)
}

impl Meaning {
    /// Which setting has which value by it; or why none has.
    fn value(
        &self,
        value: &str,
        environment: &BTreeMap<String, String>,
        settings: &[Setting],
    ) -> Result<(String, String), String> {
        let (key, value) = match self {
            Same(key) => (key, value.to_owned()),
            List(key) => {
                (key, value.split([',', ' ']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(","))
            }
            Port { key, host } => {
                let host = match host {
                    None => "0.0.0.0",
                    Some(host) => environment.get(*host).map_or("127.0.0.1", String::as_str),
                };
                (
                    key,
                    if host.contains(':') { format!("[{host}]:{value}") } else { format!("{host}:{value}") },
                )
            }
            Relay(_) if matches!(value, "" | "off") => {
                return Err(
                    "there is nothing without a relay; `appviewd pause` has none followed for a while"
                        .to_owned(),
                );
            }
            Relay(key) => (key, value.to_owned()),
            InFile(key) => {
                let setting = find(settings, key)?;
                return Err(format!(
                    "write what it holds into a file, and name that by {}",
                    setting.variable
                ));
            }
            Nothing(why) => return Err((*why).to_owned()),
        };
        find(settings, key).map(|setting| (setting.key.clone(), value))
    }
}

fn find<'s>(settings: &'s [Setting], key: &str) -> Result<&'s Setting, String> {
    settings.iter().find(|setting| setting.key == key).ok_or_else(|| "there is no such setting".to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::Cli;

    fn told(variables: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<String>) {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let (heeded, notes) = heeded(&environment.collect(), &Setting::all(&Cli::command()));
        (heeded.into_iter().map(|heeded| (heeded.key, heeded.value)).collect(), notes)
    }

    fn sets(variable: &str, value: &str) -> (String, String) {
        let (mut heeded, notes) = told(&[(variable, value)]);
        assert_eq!(notes, Vec::<String>::new());
        heeded.pop().unwrap()
    }

    #[test]
    fn what_means_the_same_is_heeded() {
        let is = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(sets("COCORE_APPVIEW_DID", "did:web:a.example"), is("service-did", "did:web:a.example"));
        assert_eq!(sets("COCORE_API_PORT", "3000"), is("listen", "0.0.0.0:3000"));
        assert_eq!(
            sets("COCORE_TRUSTED_BROKERAGES", "did:web:a.example did:web:b.example, did:web:c.example"),
            is("broker", "did:web:a.example,did:web:b.example,did:web:c.example")
        );
        assert_eq!(sets("COCORE_RELAY_URL", "wss://relay.example"), is("relay", "wss://relay.example"));
    }

    #[test]
    fn what_means_nothing_here_is_answered() {
        let (heeded, notes) =
            told(&[("COCORE_RELAY_URL", "off"), ("COCORE_FEE_BPS", "1"), ("COCORE_DB", "a.db")]);
        assert_eq!(heeded, []);
        assert!(
            notes.iter().any(|note| note.contains("COCORE_RELAY_URL") && note.contains("pause")),
            "{notes:?}"
        );
        assert!(
            notes.iter().any(|note| note.contains("COCORE_FEE_BPS") && note.contains("exchange")),
            "{notes:?}"
        );
        assert!(
            notes.iter().any(|note| note.contains("COCORE_DB") && note.contains("--data-dir")),
            "{notes:?}"
        );
    }

    #[test]
    fn every_variable_is_heeded_or_answered() {
        for (variable, _) in VARIABLES {
            let (heeded, notes) = told(&[(variable, "1")]);
            assert_eq!(heeded.len() + notes.len(), 1, "{variable}: {notes:?}");
        }
    }
}
