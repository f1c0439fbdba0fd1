//! Which daemon is watched, and how.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::listen::{LISTEN, METRICS_LISTEN, address};
use super::{MetricsListen, PublicUrl};

/// What `top` takes.
#[derive(Debug, Clone, Args)]
pub struct Top {
    /// Where the daemon answers; where `serve` would by the same settings, if left out.
    #[arg(long, value_name = "URL")]
    pub url: Option<PublicUrl>,
    /// Where it tells its numbers; on this machine where `serve` would, if left out.
    #[arg(long, value_name = "URL")]
    pub metrics_url: Option<PublicUrl>,
    /// Write one look as text, and end.
    #[arg(long)]
    pub once: bool,
    /// Seconds from one look to the next.
    #[arg(long, value_name = "SECONDS", value_parser = interval, default_value = "1")]
    pub every: Duration,
    /// Where `serve` answers.
    #[arg(long, hide = true, value_name = "ADDR", value_parser = address, default_value = LISTEN, env = "APPVIEWD_LISTEN")]
    listen: SocketAddr,
    /// Where `serve` tells numbers.
    #[arg(long, hide = true, value_name = "ADDR", default_value = METRICS_LISTEN, env = "APPVIEWD_METRICS_LISTEN")]
    metrics_listen: MetricsListen,
}

fn interval(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3_600) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a whole number of seconds from 1 to 3600".to_owned()),
    }
}

impl Top {
    /// Where the daemon answers.
    #[must_use]
    pub fn url(&self) -> String {
        self.url
            .as_ref()
            .map_or_else(|| format!("http://{}", reached(self.listen)), |url| url.as_str().to_owned())
    }

    /// Where it tells its numbers, if that can be known: of a host of elsewhere it cannot.
    #[must_use]
    pub fn metrics_url(&self) -> Option<String> {
        let is_here = self.url.as_ref().is_none_or(is_here);
        match (&self.metrics_url, self.metrics_listen) {
            (Some(url), _) => Some(url.as_str().to_owned()),
            (None, MetricsListen::At(address)) if is_here => Some(format!("http://{}", reached(address))),
            _ => None,
        }
    }
}

/// Whether a URL leads to this machine by its name alone.
fn is_here(url: &PublicUrl) -> bool {
    let host = url.as_str().split_once("://").map_or("", |(_, host)| host);
    ["127.", "localhost", "[::1]"].iter().any(|here| host.starts_with(here))
}

/// Where whoever listens on an address is reached from the same machine.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
