//! How people sign in at their own servers, and whose sessions are taken over.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

/// As which OAuth client the service speaks.
#[derive(Debug, Clone, Default, Args)]
pub struct SignIn {
    /// File with the private key that authorization servers know this service by: a JWK of the curve P-256, or a set of them,
    /// of which the first is for new sessions. Readable by you alone. With it, and an https --public-url, people can sign in.
    #[arg(long, value_name = "FILE", env = "APPVIEWD_OAUTH_CLIENT_KEYS")]
    pub oauth_client_keys: Option<PathBuf>,
    /// Let people sign in on this machine alone, without a key and over plain http: for development.
    #[arg(long, env = "APPVIEWD_LOOPBACK_SIGN_IN")]
    pub loopback_sign_in: bool,
    /// Client ID of a console whose sessions are handed over here, exactly as it has it. Its keys must be among those of
    /// --oauth-client-keys.
    #[arg(long, value_name = "URL", env = "APPVIEWD_CONSOLE_CLIENT_ID")]
    pub console_client_id: Option<ClientId>,
}

/// The URL that a client is called by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientId(String);

impl ClientId {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_public = text.strip_prefix("https://").and_then(|rest| rest.split_once('/'));
        let is_public = is_public.is_some_and(|(host, path)| !host.is_empty() && !path.is_empty());
        let is_loopback = text == "http://localhost" || text.starts_with("http://localhost?");
        if (is_public || is_loopback) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected the https URL of a client's metadata, or http://localhost?… of one for development"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_called_by_the_url_of_its_metadata() {
        for good in [
            "https://console.example/api/auth/atproto/metadata.json",
            "http://localhost",
            "http://localhost?scope=atproto",
        ] {
            assert!(good.parse::<ClientId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://console.example",
            "https://console.example/",
            "http://console.example/a",
            "http://localhost:80",
        ] {
            assert!(bad.parse::<ClientId>().is_err(), "{bad}");
        }
    }
}
