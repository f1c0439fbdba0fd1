//! Where something listens.

use std::net::SocketAddr;
use std::str::FromStr;

/// Where queries are answered unless `--listen` says otherwise.
pub(super) const LISTEN: &str = "127.0.0.1:8080";

/// Where numbers are told unless `--metrics-listen` says otherwise.
pub(super) const METRICS_LISTEN: &str = "127.0.0.1:9464";

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("expected an address and a port, like {LISTEN}"))
}

/// Where numbers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsListen {
    /// Nowhere.
    Off,
    /// On this address.
    At(SocketAddr),
}

impl FromStr for MetricsListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            address => match address.parse() {
                Ok(address) => Ok(Self::At(address)),
                Err(_) => Err("expected an address like 127.0.0.1:9464, or off".to_owned()),
            },
        }
    }
}
